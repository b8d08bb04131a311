"""Workqueues in C: the kernel's names, and what goes wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from c_layers import LAYERS, needs_compiler, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.session import Session, run
from tdxfuzz.sim import HarnessError
from tdxfuzz.verify.search import StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import only_quick, slow

pytestmark = needs_compiler


def late(folder: Path, topup: str = "", before: str = "", defines: str = "") -> type[RefcountLayer]:
    """``late.c`` with something in its top-up, and before it."""
    text = f"""
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
{defines}
static struct work_struct removal;
{before}
#define WAIT do {{ {topup}; }} while (0)
#include "{LAYERS}/late.c"
"""
    return class_in(write(folder, text, "late.c"))


def problem(design: type[RefcountLayer], name: str = "map-zap", bounds: int = 1) -> str | None:
    """What is wrong with a layer in all orders with few preemptions."""
    try:
        ended = verify(SCENARIOS[name].case(design.__name__), design, Bounds(bounds))
    except HarnessError as error:
        return str(error)
    if ended.found is not None:
        return ended.found.findings[0].bucket
    return None if ended.verdict is Verdict.PASS else ended.why


WAIT_FOR_IT = "flush_work(&removal)"

FREED = """
struct job { struct work_struct work; int n; };
static void do_job(struct work_struct *work) { container_of(work, struct job, work)->n++; }
"""

NOTED = """
static int note;
static void look(struct work_struct *work) { note++; }
static DECLARE_WORK(looker, look);
"""

MUTEX = """
static DEFINE_MUTEX(mutex);
static DEFINE_SPINLOCK(spin);
static void take(struct work_struct *work)
{
	guard(mutex)(&mutex);
}
static DECLARE_WORK(taker, take);
"""

JOB = """
struct job *job = kzalloc(sizeof(*job), GFP_KERNEL);
INIT_WORK(&job->work, do_job);
schedule_work(&job->work)
""".replace("\n", " ")

QUEUE = """
struct workqueue_struct *wq = alloc_workqueue("x", WQ_UNBOUND, 0);
queue_work(wq, &looker);
destroy_workqueue(wq);
note = 0
""".replace("\n", " ")

UNDER_MUTEX = """
mutex_lock(&mutex);
schedule_work(&taker);
flush_work(&taker);
mutex_unlock(&mutex)
""".replace("\n", " ")

LEFT_LOCKED = MUTEX.replace("guard(mutex)", "mutex_lock")

RIGHT = {
    "nothing": ("", ""),
    "flush": (WAIT_FOR_IT, ""),
    "cancel and do it": ("cancel_work_sync(&removal); remove_idle(NULL)", ""),
    "delayed": (
        "schedule_delayed_work(&slow, 10); cancel_delayed_work_sync(&slow)",
        NOTED + "static DECLARE_DELAYED_WORK(slow, look);",
    ),
    "a queue of its own": (
        QUEUE,
        NOTED,
    ),
    "freed when it has ended": (JOB + "; flush_work(&job->work); kfree(job)", FREED),
    "mutex": ("mutex_lock(&mutex); schedule_work(&taker); mutex_unlock(&mutex)", MUTEX),
}
"""What is done in the top-up, and what is declared for it."""

WRONG = {
    "freed while it may run": (JOB + "; kfree(job)", FREED, "freed"),
    "a race": ("schedule_work(&looker); note = 2", NOTED, "data-race/-/-/note"),
    "flush under a spinlock": (
        "spin_lock(&spin); flush_work(&taker); spin_unlock(&spin)",
        MUTEX,
        "atomic-sleep/-/-/flush_work under spin",
    ),
    "flush of an empty queue under a spinlock": (
        "spin_lock(&spin); flush_scheduled_work(); spin_unlock(&spin)",
        MUTEX,
        "atomic-sleep/-/-/flush_workqueue under spin",
    ),
    "flush with preemption off": (
        "preempt_disable(); cancel_work_sync(&taker); preempt_enable()",
        MUTEX,
        "atomic-sleep/-/-/cancel_work_sync with preemption off",
    ),
    "flush under its mutex": (
        f"if (tdxc_cpus() == 8) break; {UNDER_MUTEX}",  # not in the set-up
        MUTEX,
        "deadlock/-/-/mutex work taker",
    ),
    "the same in the set-up": (
        UNDER_MUTEX,
        MUTEX,
        "mutex is held by whoever waits for the item of work that takes it",
    ),
    "a lock that is left": (
        "schedule_work(&taker)",
        LEFT_LOCKED,
        "mutex is taken here and still held when take() returns",
    ),
}


@pytest.mark.parametrize("how", only_quick(["nothing", "flush", "mutex"], RIGHT))
def test_a_right_use_passes(how: str, tmp_path: Path) -> None:
    topup, before = RIGHT[how]
    design = late(tmp_path, topup, before)
    assert design.kworkers == 2
    assert problem(design) is None


@pytest.mark.parametrize("how", WRONG)
def test_a_mistake_is_told(how: str, tmp_path: Path) -> None:
    topup, before, said = WRONG[how]
    assert said in str(problem(late(tmp_path, topup, before)))


def test_a_list_that_is_filled_too_late_is_found(tmp_path: Path) -> None:
    design = late(tmp_path, defines="#define SCHEDULED_FIRST 1")
    found = hunt(HuntPlan("Late", Budget(cases=300), design=design)).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.check == "page-leak"
    again = run(found.case, design)
    assert again.findings == found.findings


@slow
def test_verify_leaves_out_no_end(tmp_path: Path) -> None:
    case = SCENARIOS["zap-zap"].case("Late")
    design = late(tmp_path)
    ends = [
        verify(case, design, bounds, until=StopRule.EVERY_BUCKET).counts.finals
        for bounds in (Bounds(), Bounds(sleep=False), Bounds(2), Bounds(2, reduce=False))
    ]
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]


@slow
def test_a_right_layer_is_clean_in_hunts(tmp_path: Path) -> None:
    plan = HuntPlan("Late", Budget(cases=300), design=late(tmp_path, WAIT_FOR_IT))
    assert not hunt(plan).findings


def test_cpus_and_kworkers_have_a_limit(tmp_path: Path) -> None:
    case = SCENARIOS["map-zap"].case("Late")
    world = evolve(case.world, cpus=7)
    with pytest.raises(HarnessError, match="7 CPUs and 2 kworkers: layers in C have 8 in all"):
        Session(evolve(case, world=world, programs=((),) * 7), late(tmp_path))
