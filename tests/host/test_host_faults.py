"""SEAMCALLs that go wrong: what KVM repeats, what it undoes, and what it cannot survive."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import ENTROPY, INTERRUPT, KINDS, REFUSE, WHAT_IF
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.faults import ENTROPY_RETRIES
from tdxfuzz.host.kvm.seamcalls import PAGE_AUG
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import End, Fault
from tdxfuzz.verify.search import StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds

WORLD = World(cpus=1, tds=2, slots=1, areas=1, entries=4)
LIFE = tuple(
    map(
        Op.parse,
        (
            "create 0",
            "vcpu 0",
            "map 0 0",
            "map2m 0 0",
            "accept4k 0 0",
            "promote 0 0",
            "zap2m 0 0",
            "destroy 0",
        ),
    )
)


def life(*faults: Fault, design: str = "merged") -> Run:
    return run(Case(design, WORLD, programs=(LIFE,), faults=faults))


CALLS = sum(life().calls.values())
NEVER = 2 * CALLS
"""The number of a call that there is not."""


@pytest.mark.parametrize("kind", [ENTROPY, INTERRUPT])
@pytest.mark.parametrize("design", ["v4", "v6", "merged", "v5-irqsave"])
def test_any_seamcall_may_be_repeated(design: str, kind: str) -> None:
    """Without entropy once, or interrupted once: the TD lives and goes, and nothing is left."""
    undisturbed = life(Fault(kind, NEVER), design=design).outcome.steps
    interrupted = again = 0
    for index in range(CALLS):
        ran = life(Fault(kind, index), design=design)
        assert ran.finding is None, (index, ran.finding)
        assert ran.outcome.end is End.REST
        interrupted += any(code for _, code in ran.calls)
        again += ran.outcome.steps > undisturbed
    # CACHE.WB, DEMOTE and PROMOTE can be interrupted.
    assert interrupted == (3 if kind == INTERRUPT else 0)
    assert again == (interrupted if kind == INTERRUPT else CALLS)


def test_entropy_that_stays_away_is_a_bug_of_kvm() -> None:
    few = [Fault(ENTROPY, index) for index in range(ENTROPY_RETRIES - 1)]
    assert life(*few).finding is None
    found = life(*few, Fault(ENTROPY, ENTROPY_RETRIES - 1)).finding
    assert found is not None
    assert found.bucket == "unexpected-status/Merged/WARN/PAMT.ADD failed: RND_NO_ENTROPY"
    assert "PAMT.ADD failed: RND_NO_ENTROPY" in found.message


def test_refused_for_no_reason_a_call_is_reported_where_it_must_not_fail() -> None:
    buckets = set()
    for index in range(CALLS):
        finding = life(Fault(REFUSE, index)).finding
        if finding is not None:
            buckets.add(finding.bucket)
    assert "unexpected-status/TDH.MNG.CREATE/OPERAND_BUSY/-" in buckets
    # With the vCPUs kicked out these are tried once more.
    assert not any("RANGE.BLOCK" in bucket or "PAGE.REMOVE" in bucket for bucket in buckets)


def test_a_put_that_failed_keeps_the_range_at_4kb() -> None:
    """v6 leaves the count at one and the pair in place (B23): the next TD cannot have the range
    at 2MB.
    """
    ops = ("create 0", "accept4k 0 0", "zap2m 0 0", "destroy 0", "create 0", "map2m 0 0")
    case = Case("v6", WORLD, programs=(tuple(map(Op.parse, ops)),), checks=("lock-leak",))

    def augs_refused(*faults: Fault) -> int:
        calls = run(evolve(case, faults=faults)).calls
        return sum(n for (leaf, code), n in calls.items() if leaf == PAGE_AUG and code)

    assert augs_refused() == 0
    assert max(augs_refused(Fault("busy", index)) for index in range(12)) == 1


def test_kinds_are_known() -> None:
    assert set(KINDS) > WHAT_IF
    with pytest.raises(ValueError, match=r"faults\[1\]: unknown kind 'power'; known: alloc, busy"):
        Case("v6", World(), faults=(Fault("alloc", 1), Fault("power", 1)))


def test_a_hunt_for_faults_shrinks_them() -> None:
    found = hunt(HuntPlan("merged", Budget(cases=2_000), faults=(REFUSE, ENTROPY))).found
    assert found is not None
    best = shrink(found).run
    assert len(best.case.faults) == 1
    assert best.case.operations <= 1


def test_in_a_search_of_all_orders_the_number_of_a_call_matters() -> None:
    """The sixth SEAMCALL is refused, whoever makes it: which it is depends on the order."""
    world = World(slots=1)
    setup = tuple(map(Op.parse, ("create 0", "create 1")))
    programs = ((Op("vcpu", (0,)),), (Op("map", (1, 0)),))
    case = Case("merged", world, setup, programs, faults=(Fault(REFUSE, 5),))
    verified = verify(case, None, Bounds(preemptions=1), until=StopRule.EVERY_BUCKET)
    assert verified.verdict is Verdict.FAIL
    refused = {f"unexpected-status/TDH.VP.{leaf}/OPERAND_BUSY/-" for leaf in ("CREATE", "ADDCX")}
    assert refused <= set(verified.firsts)
