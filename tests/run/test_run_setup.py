"""A set-up has to succeed, raw SEAMCALLs included: otherwise the programs run in another world."""

from __future__ import annotations

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS, WORLD, setup_ops
from tdxfuzz.case.operation import Op
from tdxfuzz.run.session import SetupError, run
from tdxfuzz.sim import End

BLOCK = "TDH.MEM.RANGE.BLOCK rcx=0x0 rdx=B128"

REFUSED = [
    (("create 0", "TDH.MR.FINALIZE rcx=B128"), "TDH.MR.FINALIZE rcx=B128", "NO_VCPUS"),
    (("create 0", BLOCK), BLOCK, "EPT_WALK_FAILED|RCX"),
    (
        ("TDH.MNG.CREATE rcx=A0 rdx=0x21",),
        "TDH.MNG.CREATE rcx=A0 rdx=0x21",
        "MISSING_PAMT_PAGE_PAIR|RCX",
    ),
    (
        ("create 0", "vcpu 0", "TDH.VP.ENTER rcx=B129"),
        "TDH.VP.ENTER rcx=B129",
        "PAGE_METADATA_INCORRECT|RCX",
    ),
    (("create 0", "create 0"), "create 0", "-EEXIST"),
    (("map 0 0",), "map 0 0", "-ENOENT"),
]


def case_of(*setup: str, design: str = HOSTILE) -> Case:
    return Case(design, WORLD, tuple(map(Op.parse, setup)))


@pytest.mark.parametrize(("setup", "call", "status"), REFUSED)
def test_a_refused_call_ends_the_run_and_is_named_with_its_status(
    setup: tuple[str, ...], call: str, status: str
) -> None:
    with pytest.raises(SetupError) as caught:
        run(case_of(*setup))
    assert str(caught.value).startswith(f"set-up operation {call!r} failed: {status}; ")


def test_so_it_is_beside_a_host_layer() -> None:
    with pytest.raises(SetupError, match="failed: NO_VCPUS; it must succeed"):
        run(case_of("create 0", "TDH.MR.FINALIZE rcx=B128", "map 0 0", design="merged"))


def test_a_call_that_only_informs_is_not_refused() -> None:
    """Bit 63 of RAX is clear: the range is blocked, as it was meant to be."""
    assert run(case_of("create 0", "map 0 0", BLOCK, BLOCK)).outcome.end is End.REST


@pytest.mark.parametrize("name", SETUPS)
def test_the_states_that_hostile_calls_start_from_are_reached(name: str) -> None:
    assert run(Case(HOSTILE, WORLD, setup_ops(name))).outcome.end is End.REST
