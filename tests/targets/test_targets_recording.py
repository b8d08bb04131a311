"""Calls, events and machines as recordings describe them."""

from __future__ import annotations

import pytest

from tdxfuzz.abi import status
from tdxfuzz.module.memory import RawPage
from tdxfuzz.targets.count import Count, event_differences, event_text, state_differences
from tdxfuzz.targets.recording import COMPARED, CallResult, call_of, event_of, order_of
from tdxfuzz.targets.world import PROCESSORS, world_of

ZERO = dict.fromkeys(COMPARED, "0x0")
ADD = {
    "leaf": 58,
    "name": "PHYMEM_PAMT_ADD",
    "version": 0,
    "in": {"rcx": "0x40000001"},
    "status": "0xc000010000000002",
    "out": {**ZERO, "rcx": "0x40000001"},
}
CONFIG = {
    "tdmrs": [
        {"base": "0x40000000", "size": "0x40000000", "reserved": [["0x40001000", "0x2000"]]},
        {"base": "0x100000000", "size": "0x80000000", "reserved": [], "initialized": "0x40000000"},
    ],
    "dynamic_pamt": 1,
    "memory": [["0x1000000", "P4"]],
}


def test_a_call_is_read_with_inputs_result_and_cpu() -> None:
    call = call_of(ADD, cpu=3)
    assert (call.leaf, call.name, call.version, call.cpu) == (58, "PHYMEM_PAMT_ADD", 0, 3)
    assert call.inputs == {"rcx": 0x40000001}
    assert str(call.status) == "OPERAND_INVALID|RDX"
    assert call.outputs == {**dict.fromkeys(COMPARED, 0), "rcx": 0x40000001}
    assert not call.interrupted
    assert call_of({**ADD, "cpu": 5, "intr": 1}).cpu == 5
    assert call_of({**ADD, "intr": 1}).interrupted


def test_a_call_reads_as_text_with_its_operands_and_version() -> None:
    assert str(call_of(ADD)) == "TDH.PHYMEM.PAMT.ADD(rcx=0x40000001)"
    assert str(call_of({**ADD, "version": 1, "in": {}})) == "TDH.PHYMEM.PAMT.ADD() version 1"


def test_a_call_without_result_agrees_with_everything() -> None:
    call = call_of({key: value for key, value in ADD.items() if key not in ("status", "out")})
    assert call.differences(CallResult(status(1), dict.fromkeys(COMPARED, 9))) == []


def test_differences_are_one_line_each() -> None:
    result = CallResult(status(0), dict.fromkeys(COMPARED, 0))
    assert call_of(ADD).differences(result) == [
        "status: recorded OPERAND_INVALID|RDX, model SUCCESS",
        "rcx: recorded 0x40000001, model 0x0",
    ]
    assert call_of(ADD).differences(call_of(ADD).result) == []


def test_a_machine_is_built_as_described() -> None:
    bench = world_of(CONFIG, {"P4": b"params"}).build(cpus=2)
    first, second = bench.module.pamt.tdmrs
    assert first.is_reserved(0x40002FFF)
    assert not first.is_reserved(0x40003000)
    assert (first.is_initialized(0x7FFFFFFF), second.is_initialized(0x140000000)) == (True, False)
    page = bench.module.memory.at(0x1000000)
    assert isinstance(page, RawPage)
    assert page.content == b"params"
    assert bench.module.pamt.dynamic
    assert (len(bench.sim.cpus), len(bench.lps)) == (2, PROCESSORS)


def test_a_machine_may_be_without_dynamic_pamt() -> None:
    assert not world_of({**CONFIG, "dynamic_pamt": 0}, {"P4": b""}).build().module.pamt.dynamic


def test_each_machine_is_new() -> None:
    config = world_of(CONFIG, {"P4": b""})
    call = call_of({**ADD, "in": {"rcx": "0x40200001", "rdx": "0x60000000", "r8": "0x60001000"}})
    answers = [str(call.on(config.build()).status) for _ in range(2)]
    assert answers == ["SUCCESS", "SUCCESS"]


def test_an_interrupt_lasts_for_one_call() -> None:
    bench = world_of(CONFIG, {"P4": b""}).build()
    for intr in (1, 0):
        call_of({**ADD, "intr": intr}).on(bench)
        assert bench.lps[0].interrupt_pending is bool(intr)


def test_an_event_may_have_failed_or_been_the_last() -> None:
    events = [event_of(["acq", "SH", "KOT", ok]) for ok in (True, False, None)]
    assert [event_text(event) for event in events] == [
        "acq SH KOT",
        "acq SH KOT FAILED",
        "acq SH KOT DIED",
    ]
    assert event_text(("bts", "", "BITMAP[0x1000]", True)) == "bts BITMAP[0x1000]"
    assert order_of([[2, "acq", "SH", "KOT", True]]) == ((2, ("acq", "SH", "KOT", True)),)


@pytest.mark.parametrize(
    ("wanted", "got", "first_line", "marked"),
    [
        ("abc", "abc", None, []),
        ("abc", "abd", "events differ at index 2 (3 recorded, 3 in the model):", [2]),
        ("abc", "ab", "events differ at index 2 (3 recorded, 2 in the model):", [2]),
        ("ab", "abc", "events differ at index 2 (2 recorded, 3 in the model):", [2]),
        ("", "a", "events differ at index 0 (0 recorded, 1 in the model):", [0]),
        ("abcdefgh", "abcxefgh", "events differ at index 3 (8 recorded, 8 in the model):", [3]),
    ],
)
def test_the_first_wrong_event_is_shown_with_its_neighbours(
    wanted: str, got: str, first_line: str | None, marked: list[int]
) -> None:
    lines = event_differences(
        [("acq", "SH", name, True) for name in wanted], [("acq", "SH", name, True) for name in got]
    )
    assert (lines[0] if lines else None) == first_line
    assert [int(line.split()[1]) for line in lines if line.startswith("  ! ")] == marked


def test_states_are_compared_part_by_part() -> None:
    model = {"pages": [1, 2], "kot": {"40": 1}, "hp": []}
    assert state_differences(model, model) == []
    assert state_differences({**model, "pages": [2, 3]}, model) == [
        "state, pages: only recorded [3]; only in the model [1]"
    ]
    assert state_differences({"kot": {}}, model) == ["state, kot: recorded {}, model {'40': 1}"]
    assert state_differences({"pages": [1, 2]}, model) == []  # what was not recorded


def test_counting_keeps_groups_and_the_first_trouble() -> None:
    count = Count()
    count.add("pamt", 5, 5)
    count.add("mem", 3, 1, "first")
    count.add("mem", 1, 0, "second")
    count.leaf_missing("VP_ENTER")
    assert (count.items, count.agree, count.cut) == (9, 6, 1)
    assert count.groups == {"pamt": [5, 5], "mem": [4, 1]}
    assert (count.first, count.not_modelled) == ("first", {"VP_ENTER"})
