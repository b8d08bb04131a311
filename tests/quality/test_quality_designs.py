"""The verdict on every built-in design: reported bugs found where they were, and only there.

Each within a budget of cases on one core; ``docs/matrix.md`` has the whole table.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.save import save
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session, run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import Fault
from tiers import SLOW_AND_LONG, first_quick, only_quick, slow

BUDGET = Budget(cases=12_000)

FOUND = {
    "hint": {"pamt-in-use"},
    "hint-retry": {"pamt-in-use", "module-fatal", "page-owner"},
    "rfc": {"page-owner"},
    "v2": {"page-owner"},
    "v3-base": {"refcount", "unexpected-status", "pamt-in-use"},
    "v3": {"unexpected-status", "page-leak", "pamt-in-use"},
    "v4": {"unexpected-status", "pamt-in-use"},
    "v5": {"irq-safety", "unexpected-status", "page-leak"},
    "v5-irqsave": {"unexpected-status", "page-leak"},
    "bias-minus-one": {"unexpected-status", "pamt-in-use"},
    "early-inc": {"pamt-in-use"},
    "per-range-lock": {"unexpected-status"},
    "per-range-rwlock": {"lock-order", "deadlock"},
}
"""Which checks may be the first to fire."""

NO_PAIR = "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/NO_PAMT_PAGE_PAIR/-"
NOT_EMPTY = "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/PAMT_PAGE_NOT_EMPTY/-"
REMOVED = "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
NOT_CALLED = "pamt-in-use/TDH.PHYMEM.PAMT.ADD/not called/range"
ADDED_LATE = "pamt-in-use/TDH.PHYMEM.PAMT.ADD/SUCCESS/range"
IRQ = "irq-safety/-/-/pamt_lock"
ADD_WARNS = "unexpected-status/PerRangeLock/WARN/PAMT.ADD failed: OPERAND_BUSY"
ADDCX_BUSY = "unexpected-status/TDH.MNG.ADDCX/OPERAND_BUSY/-"

MINIMA = {
    ("hint", REMOVED): (2, 1),
    ("hint-retry", REMOVED): (2, 1),
    ("rfc", "page-owner/-/-/unscrubbed PAMT page"): (1, 0),
    ("v2", "page-owner/-/-/unscrubbed PAMT page"): (1, 0),
    ("v3-base", "refcount/-/-/too low"): (1, 0),
    ("v3-base", NOT_EMPTY): (1, 0),
    ("v3", NO_PAIR): (3, 1),
    ("v3", "page-leak/-/-/PAMT page"): (1, 0),
    ("v4", NO_PAIR): (3, 1),
    ("v5", IRQ): (1, 0),
    ("v5", NO_PAIR): (3, 1),
    ("v5-irqsave", NO_PAIR): (3, 1),
    ("v5-irqsave", "page-leak/-/-/PAMT page"): (1, 0),
    ("v5", "page-leak/-/-/PAMT page"): (1, 0),
    ("bias-minus-one", NOT_CALLED): (2, 1),
    ("bias-minus-one", ADDED_LATE): (2, 1),
    ("bias-minus-one", NOT_EMPTY): (2, 1),
    ("bias-minus-one", ADDCX_BUSY): (2, 1),
    ("bias-minus-one", REMOVED): (2, 1),
    ("early-inc", NOT_CALLED): (2, 1),
    ("early-inc", ADDED_LATE): (2, 1),
    ("early-inc", ADDCX_BUSY): (2, 1),
    ("per-range-lock", ADD_WARNS): (2, 1),
    ("per-range-rwlock", "lock-order/-/-/pamt_rwlock"): (1, 0),
}
"""(Operations, preemptions) that twenty seeds of every engine came to, all or nearly all:
``docs/power.md`` has the counts. Fewer are welcome."""

FAST = ("rfc", "v3-base", "per-range-rwlock")
SLOW = ("v3", "hint-retry", "early-inc")
ONE_FILE = [
    pytest.param(design, marks=() if design in FAST else slow if design in SLOW else SLOW_AND_LONG)
    for design in FOUND
]
"""Seconds, tens of seconds, and a minute of shrinking."""

SOUND = sorted(set(DESIGNS) - set(FOUND))


def first_of(design: str, seed: int) -> Run | None:
    return hunt(HuntPlan(design, BUDGET, seed=seed)).found


@pytest.mark.parametrize("seed", first_quick(1, [1, 2]))
@pytest.mark.parametrize("design", FOUND)
def test_a_broken_design_is_found(design: str, seed: int) -> None:
    found = first_of(design, seed)
    assert found is not None
    assert found.finding is not None
    assert found.finding.check in FOUND[design]


SHORT_SOON = ("hint", "hint-retry", "rfc", "v2", "v3-base", "per-range-rwlock")
"""Their shrinks take a second of CPU time or less."""


@pytest.mark.parametrize("seed", first_quick(1, [1, 2]))
@pytest.mark.parametrize("design", only_quick(SHORT_SOON, FOUND))
def test_the_trace_of_a_broken_design_is_short(design: str, seed: int) -> None:
    found = first_of(design, seed)
    assert found is not None
    best = shrink(found).run
    assert best.finding is not None
    assert best.finding.check in FOUND[design]
    assert best.case.operations <= 6
    assert best.preemptions <= 3
    size = best.case.operations, best.preemptions
    assert size <= MINIMA.get((design, best.finding.bucket), (6, 3)), best.finding.bucket


@pytest.mark.parametrize("cases", first_quick(1, [1_000, 2_500]))
@pytest.mark.parametrize("design", first_quick(3, SOUND))
def test_a_sound_design_stays_clean(design: str, cases: int) -> None:
    result = hunt(HuntPlan(design, Budget(cases=cases)))
    assert result.found is None, result.found and result.found.finding
    assert result.statistics.unseen() == []


def file_of(found: Run, folder: Path) -> tuple[str, bytes]:
    path = save(shrink(found).run, found, folder).path
    return path.name, path.read_bytes()


@pytest.mark.parametrize("design", ONE_FILE)
def test_each_bucket_of_a_design_is_one_file(design: str, tmp_path: Path) -> None:
    files = defaultdict(set)
    for seed in range(1, 7):
        found = first_of(design, seed)
        assert found is not None
        assert found.finding is not None
        files[found.finding.bucket].add(file_of(found, tmp_path / str(seed)))
    assert {bucket: len(each) for bucket, each in files.items()} == dict.fromkeys(files, 1)


@slow
def test_a_busy_machine_shrinks_to_the_same_file(tmp_path: Path) -> None:
    found = first_of("hint", 3)
    assert found is not None
    quiet = file_of(found, tmp_path / "quiet")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        assert file_of(found, tmp_path / "busy") == quiet
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def alone(design: str, fault: Fault, *checks: str) -> Case:
    ops = ("create 0", "map 0 0", "zap 0 0", "map 0 0", "destroy 0")
    world = World(cpus=1, tds=1, slots=1)
    program = tuple(map(Op.parse, ops))
    return Case(design, world, programs=(program,), faults=(fault,), checks=checks)


@pytest.mark.parametrize("design", ["v3", "v4", "v5"])
def test_a_lost_error_code_leaves_a_holder_without_a_pair(design: str) -> None:
    """What if ADD is busy for no reason: get still returns 0."""
    finding = run(alone(design, Fault("busy", 0), "pamt-in-use")).finding
    assert finding is not None
    assert finding.bucket == "pamt-in-use/TDH.PHYMEM.PAMT.ADD/OPERAND_BUSY/range"


@pytest.mark.parametrize("design", ["rfc", "v2", "v6", "merged"])
def test_an_error_that_is_passed_on_is_survived(design: str) -> None:
    case = alone(design, Fault("busy", 0), "pamt-in-use", "refcount", "page-leak")
    assert run(case).finding is None


def test_the_rfc_forgets_the_reference_when_remove_fails() -> None:
    """B3: the pair stays, the count says 0; v2 gives the reference back."""

    def counts(design: str) -> dict[int, int]:
        session = Session(alone(design, Fault("busy", 3), "pamt-in-use"))
        session.run_programs()
        return {i: refcount.value for i, refcount in session.host.refcounts.items()}

    assert set(counts("rfc").values()) == {0}
    assert 1 in counts("v2").values()
