"""What waits for others: RCU grace periods, completions, wait queues."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from c_layers import needs_compiler, text_of, write
from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.blame import DesignError
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds

pytestmark = needs_compiler

CASE = SCENARIOS["map-map"].case("C")

NOTE = """
#include <linux/completion.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/wait.h>

struct note { u64 pfn; struct rcu_head rcu; };
static struct note *last;

static __maybe_unused void free_note(struct rcu_head *head)
{
	kfree(container_of(head, struct note, rcu));
}
"""

READ = """	rcu_read_lock();
	{
		struct note *note = rcu_dereference(last);

		if (note)
			WARN_ON(READ_ONCE(note->pfn) != READ_ONCE(note->pfn));
	}
	rcu_read_unlock();
"""

TOPUP = """
static int topup(void)
{{
	struct note *note = kzalloc(sizeof(*note), GFP_KERNEL), *old;

	old = xchg(&last, note);
	if (old)
		{free};
	return 0;
}}
"""

FREED = {
    "synchronize_rcu": ("({ synchronize_rcu(); kfree(old); })", True),
    "call_rcu": ("call_rcu(&old->rcu, free_note)", True),
    "kfree_rcu": ("kfree_rcu(old, rcu)", True),
    "rcu_barrier": ("({ call_rcu(&old->rcu, free_note); rcu_barrier(); })", True),
    "kfree_rcu_mightsleep": ("kfree_rcu_mightsleep(old)", True),
    "at once": ("kfree(old)", False),
    "without readers": ("({ rcu_read_lock(); rcu_read_unlock(); kfree(old); })", False),
}
"""How an object is freed that readers may have, and whether that is right."""


def _layer(folder: Path, before: str, get: str) -> str | None:
    """What is wrong with a layer, in all orders with up to one preemption."""
    layer = class_in(write(folder, text_of(before=before, get=get, glue=".topup = topup,")))
    case: Case = evolve(CASE, design="C")
    try:
        ended = verify(case, layer, Bounds(1))
    except DesignError as error:
        return str(error)
    if ended.verdict is Verdict.PASS:
        return None
    return ended.found.findings[0].bucket if ended.found is not None else ended.why


SLEEPING_READ = """
	int idx = srcu_read_lock(&srcu);
	{
		struct note *note = srcu_dereference(last, &srcu);

		if (note)
			WARN_ON(READ_ONCE(note->pfn) != READ_ONCE(note->pfn));
	}
	srcu_read_unlock(&srcu, idx);
"""


@pytest.mark.parametrize("waits", [True, False])
def test_an_object_is_freed_behind_readers_of_srcu(waits: bool, tmp_path: Path) -> None:
    free = f"({{ {'synchronize_srcu(&srcu);' if waits else ''} kfree(old); }})"
    before = f"#include <linux/srcu.h>\nDEFINE_STATIC_SRCU(srcu);{NOTE}{TOPUP.format(free=free)}"
    problem = _layer(tmp_path, before, SLEEPING_READ)
    assert problem == (None if waits else "data-race/-/-/heap+x")


@pytest.mark.parametrize("how", FREED)
def test_an_object_is_freed_behind_its_readers(how: str, tmp_path: Path) -> None:
    free, right = FREED[how]
    problem = _layer(tmp_path, NOTE + TOPUP.format(free=free), READ)
    if right:
        assert problem is None
    else:
        assert problem == "data-race/-/-/heap+x"


WAITS = {
    "completion": ("DECLARE_COMPLETION(all)", "wait_for_completion(&all)", "complete_all(&all)"),
    "wait queue": (
        "DECLARE_WAIT_QUEUE_HEAD(all); static int is_done",
        "wait_event(all, READ_ONCE(is_done))",
        "WRITE_ONCE(is_done, 1); wake_up(&all)",
    ),
}
"""What is declared, how one CPU waits, and what the other one does."""

CHOOSE = """
static {declared};

static int topup(void)
{{
	if (tdxc_cpus() > 2)
		return 0;	/* the set-up, in which there is nobody to wait for */
	if (raw_smp_processor_id()) {{
		{wait};
	}} else {{
		{done};
	}}
	return 0;
}}
"""


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("wakes", [True, False])
def test_who_waits_goes_on_when_it_is_woken(what: str, wakes: bool, tmp_path: Path) -> None:
    declared, wait, done = WAITS[what]
    if not wakes:
        done = done.rpartition(";")[0]
    before = NOTE + CHOOSE.format(declared=declared, wait=wait, done=done)
    problem = _layer(tmp_path, before, "")
    assert problem == (None if wakes else "livelock/-/-/retry loop")
