"""A lock lies in memory, belongs to whoever holds it, and can be looked at by all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c_layers import needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.session import run
from tdxfuzz.verify.search import Verdict, VerifyResult, verify
from tdxfuzz.verify.worklist import Bounds

pytestmark = needs_compiler

BEFORE = """#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/smp.h>
struct object { spinlock_t spin; rwlock_t rw; struct mutex mutex; struct rw_semaphore sem; };
static struct object *shared, here;
static atomic_t y;
"""

TAKEN = {
    "spin": ("spin_lock(&{0}spin);", "spin_unlock(&{0}spin);"),
    "irq": ("spin_lock_irq(&{0}spin);", "spin_unlock_irq(&{0}spin);"),
    "read": ("read_lock(&{0}rw);", "read_unlock(&{0}rw);"),
    "write": ("write_lock(&{0}rw);", "write_unlock(&{0}rw);"),
    "mutex": ("mutex_lock(&{0}mutex);", "mutex_unlock(&{0}mutex);"),
    "down_read": ("down_read(&{0}sem);", "up_read(&{0}sem);"),
    "down_write": ("down_write(&{0}sem);", "up_write(&{0}sem);"),
    "trylock": ("if (spin_trylock(&{0}spin))", "spin_unlock(&{0}spin);"),
    "looked at": ("if (spin_is_locked(&{0}spin))", "BUG();"),
}
"""How a lock of an object is used."""


def _said(result: VerifyResult) -> str:
    assert result.found is not None
    assert result.found.finding is not None
    return result.found.finding.bucket


@pytest.mark.parametrize("how", TAKEN)
@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("NULL", "at .*: a NULL pointer"),
        ("kmalloc(sizeof(*o), GFP_ATOMIC); kfree(o)", "outside of every object, or freed"),
        ("(struct object *)0x123456789000", "not memory of the layer"),
    ],
    ids=["NULL", "freed", "elsewhere"],
)
def test_a_lock_that_is_nowhere_is_one_line(how: str, made: str, said: str, tmp_path: Path) -> None:
    begin, end = (part.format("o->") for part in TAKEN[how])
    before = f"{BEFORE}static int topup(void)\n{{\n"
    before += f"	struct object *o = {made};\n	{begin} {end}\n	return 0;\n}}\n"
    layer = class_in(write(tmp_path, text_of(before=before, glue=".topup = topup,")))
    with pytest.raises(DesignError) as problem:
        run(SCENARIOS["map-zap"].case("C"), layer)
    assert re.search(rf"^layer\.c:\d+: .*{said}", str(problem.value)), problem.value


EACH = "if (!raw_smp_processor_id()) {{ {0} }} else {{ {1} }}"
INIT = """static int own_init(void)
{
	shared = kmalloc(sizeof(*shared), GFP_KERNEL);
	return tdx_layer_init();
}
"""


def _in_topup(folder: Path, code: str) -> Path:
    """A layer that does something where a CPU holds no lock of KVM's."""
    before = f"{BEFORE}{INIT}static int topup(void)\n{{\n	{code}\n	return 0;\n}}\n"
    own = [(".init = tdx_layer_init", ".init = own_init")]
    return write(folder, text_of(before=before, glue=".topup = topup,", replace=own))


@pytest.mark.parametrize("how", ["spin", "irq", "read", "write", "mutex", "down_read", "trylock"])
def test_a_lock_that_another_cpu_frees_is_found(how: str, tmp_path: Path) -> None:
    begin, end = (part.format("shared->") for part in TAKEN[how])
    layer = class_in(_in_topup(tmp_path, EACH.format(f"{begin} {end}", "kfree(shared);")))
    ended = run(SCENARIOS["map-map"].case("C"), layer)
    assert ended.finding is not None
    assert ended.finding.check == "data-race"
    assert "the free at" in ended.finding.message


def test_whoever_frees_a_lock_after_taking_it_comes_behind_all_others(tmp_path: Path) -> None:
    """The last one frees, which the count says."""
    made = "if (!shared) shared = kmalloc(sizeof(*shared), GFP_ATOMIC);"
    put = (
        "	{ struct object *o = shared; bool last; spin_lock(&o->spin); last = !--left; "
        "spin_unlock(&o->spin); if (last) kfree(o); }"
    )
    text = text_of(before=f"{BEFORE}static int left;\n", locked=f"	left++; {made}", put=put)
    result = verify(SCENARIOS["zap-zap"].case("C"), class_in(write(tmp_path, text)), Bounds())
    assert result.verdict is Verdict.PASS


LOOKS = {
    "spin": "spin_is_locked(&here.spin)",
    "mutex": "mutex_is_locked(&here.mutex)",
    "down_read": "rwsem_is_locked(&here.sem)",
    "down_write": "rwsem_is_locked(&here.sem)",
}


@pytest.mark.parametrize("how", LOOKS)
@pytest.mark.parametrize("wanted", ["", "!"])
def test_whether_a_lock_is_held_by_anybody_can_be_seen(
    how: str, wanted: str, tmp_path: Path
) -> None:
    begin, end = (part.format("here.") for part in TAKEN[how])
    code = EACH.format(
        f"{begin} atomic_inc(&y); {end}", f"bool seen = {LOOKS[how]}; WARN_ON({wanted}seen);"
    )
    layer = class_in(_in_topup(tmp_path, code))
    result = verify(SCENARIOS["map-map"].case("C"), layer, Bounds(1))
    assert "WARN" in _said(result)


def test_whether_somebody_waits_for_a_lock_can_be_seen(tmp_path: Path) -> None:
    put = "	spin_lock(&here.spin); WARN_ON(spin_is_contended(&here.spin)); spin_unlock(&here.spin);"
    layer = class_in(write(tmp_path, text_of(before=BEFORE, put=put)))
    assert "WARN" in _said(verify(SCENARIOS["zap-zap"].case("C"), layer, Bounds(1)))


ASSERTS = {
    "read, as a writer": ("read_lock(&here.rw);", "_write(&here.rw)", "read_unlock(&here.rw);"),
    "write, as a reader": ("write_lock(&here.rw);", "_read(&here.rw)", "write_unlock(&here.rw);"),
    "a spinlock, as a reader": (
        "spin_lock(&here.spin);",
        "_read(&here.spin)",
        "spin_unlock(&here.spin);",
    ),
}


@pytest.mark.parametrize("what", ASSERTS)
def test_a_lock_is_held_in_the_way_that_is_asserted(what: str, tmp_path: Path) -> None:
    begin, asserted, end = ASSERTS[what]
    layer = class_in(
        write(
            tmp_path,
            text_of(before=BEFORE, get=f"	{begin} lockdep_assert_held{asserted}; {end}"),
        )
    )
    with pytest.raises(DesignError, match=r"lockdep_assert_held\(here\S*\) fails"):
        run(SCENARIOS["map-zap"].case("C"), layer)


def test_memory_that_held_a_lock_may_hold_one_of_another_kind(tmp_path: Path) -> None:
    topup = """static int topup(void)
{
	union { spinlock_t spin; struct mutex mutex; rwlock_t rw; struct rw_semaphore sem; } *o;

	for (int i = 0; i < 4; i++) {
		o = kmalloc(sizeof(*o), GFP_KERNEL);
		if (i == 0) { spin_lock(&o->spin); spin_unlock(&o->spin); }
		if (i == 1) { mutex_lock(&o->mutex); might_sleep(); mutex_unlock(&o->mutex); }
		if (i == 2) { read_lock(&o->rw); read_unlock(&o->rw); }
		if (i == 3) { down_read(&o->sem); might_sleep(); up_read(&o->sem); }
		kfree(o);
	}
	return 0;
}
"""
    text = text_of(before=BEFORE + topup, glue=".topup = topup,")
    ended = run(SCENARIOS["map-zap"].case("C"), class_in(write(tmp_path, text)))
    assert ended.finding is None
