"""data_race() takes the check for races off an access, and no order of steps away."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design_file import class_in
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds

pytestmark = needs_compiler

BEFORE = """#include <linux/smp.h>
static struct { int a, flag; } two;
static int flag, other;
static union { u64 whole; struct { u32 low, high; }; } word;
static struct { u64 a, b, c; } three;
static atomic_t y;
static DEFINE_SPINLOCK(own);
"""


def _locked(*writes: str) -> str:
    return "".join(f"spin_lock(&own); {each}; spin_unlock(&own); " for each in writes)


MEANT = {
    "marked writes": ("WRITE_ONCE(flag, 1); WRITE_ONCE(flag, 0);", "data_race(flag)"),
    "plain writes under a lock": (_locked("flag = 1", "flag = 0"), "data_race(flag)"),
    "plain writes under one lock": (
        "spin_lock(&own); flag = 1; barrier(); flag = 0; spin_unlock(&own);",
        "data_race(flag)",
    ),
    "one field, and the whole": (
        _locked("two.flag = 1", "two.flag = 0"),
        "({ __auto_type copy = data_race(two); copy.flag; })",
    ),
    "more than a word": (
        _locked("three.b = 1", "three.b = 0"),
        "({ __auto_type copy = data_race(three); (int)copy.b; })",
    ),
    "atomics": ("atomic_set(&y, 1); atomic_set(&y, 0);", "data_race(y.counter)"),
    "a half and the whole, both marked": (
        "WRITE_ONCE(word.high, 1); WRITE_ONCE(word.high, 0);",
        "(READ_ONCE(word.whole) >> 32)",
    ),
}
"""What CPU 0 does, and what CPU 1 reads meanwhile: 1 if it comes in between."""


def _text(writes: str, read: str) -> str:
    put = (
        f"	if (!smp_processor_id()) {{ {writes} }}\n"
        f"	else {{ atomic_inc(&pamt_refcounts[9]); int seen = {read}; "
        "atomic_inc(&pamt_refcounts[9]); WARN_ON(seen); }"
    )
    return text_of(before=BEFORE, put=put)


@pytest.mark.parametrize("what", MEANT)
@pytest.mark.parametrize("preemptions", [1, None])
def test_verify_tries_what_a_meant_race_can_see(
    what: str, preemptions: int | None, tmp_path: Path
) -> None:
    layer = class_in(write(tmp_path, _text(*MEANT[what])))
    result = verify(SCENARIOS["zap-zap"].case("C"), layer, Bounds(preemptions))
    assert result.verdict is Verdict.FAIL
    assert result.found is not None
    assert result.found.finding is not None
    assert result.found.finding.check == "unexpected-status"


def test_hunt_sees_it_too(tmp_path: Path) -> None:
    layer = class_in(write(tmp_path, _text(*MEANT["plain writes under a lock"])))
    found = hunt(HuntPlan("C", Budget(cases=2_000), design=layer, seed=1), ()).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.check == "unexpected-status"


@pytest.mark.parametrize("what", ["plain writes under a lock", "more than a word"])
def test_leaving_orders_out_leaves_no_end_out(what: str, tmp_path: Path) -> None:
    writes, read = MEANT[what]
    text = _text(writes, read).replace("WARN_ON(seen)", "other = seen")
    layer = class_in(write(tmp_path, text))
    ends = []
    for bounds in (Bounds(1), Bounds(1, reduce=False), Bounds(), Bounds(sleep=False)):
        result = verify(SCENARIOS["zap-zap"].case("C"), layer, bounds)
        assert result.verdict is Verdict.PASS
        ends.append(result.counts.finals)
    assert ends[0] == ends[1]
    assert ends[2] == ends[3] >= ends[0]
