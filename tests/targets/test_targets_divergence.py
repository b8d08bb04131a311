"""A model that did otherwise would be caught: every part of a recording is compared.

Each test tampers with one thing in a copy of a recording. To the comparison that is the
same as a model that is wrong in just this place.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tdxfuzz.module.call import Call
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.module import TdxModule
from tdxfuzz.targets.conform import Conformance, conform

from .recordings import Json, divergence, load, save


@pytest.fixture
def sequential() -> Json:
    return load("sequential", "S0000")


@pytest.fixture
def locks() -> Json:
    return load("locks", "L004")


def numbers(result: Conformance) -> tuple[int, int]:
    return result.agree, result.items


FIRST_ADD = "TDH.PHYMEM.PAMT.ADD(rcx=0x40000001, rdx=0x59000000, r8=0x59001000)"
SECOND_ADD = "TDH.PHYMEM.PAMT.ADD(rcx=0x40200001, rdx=0x59002000, r8=0x59003000)"
CREATE = "TDH.MNG.CREATE(rcx=0x40000000, rdx=0x28)"


def test_the_trace_itself_agrees(tmp_path: Path, sequential: Json) -> None:
    calls = len(sequential["calls"])
    assert numbers(conform(save(tmp_path, sequential))) == (calls, calls)


def test_a_wrong_status_names_the_call_and_both_statuses(tmp_path: Path, sequential: Json) -> None:
    sequential["calls"][2]["status"] = "0x8000020000000001"
    result = conform(save(tmp_path, sequential))
    assert numbers(result) == (2, 3)
    assert divergence(result) == [
        f"trace S0000, call 2: {CREATE}",
        "status: recorded OPERAND_BUSY|RCX, model SUCCESS",
        "the calls before it:",
        f"{FIRST_ADD} = SUCCESS",
        f"{SECOND_ADD} = SUCCESS",
    ]


@pytest.mark.parametrize(
    "register", ["rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "rbx", "rdi", "rsi"]
)
def test_a_wrong_register_is_named_with_both_values(
    tmp_path: Path, sequential: Json, register: str
) -> None:
    call = sequential["calls"][1]
    was = int(call["out"][register], 16)
    call["out"][register] = hex(was ^ 1 << 62)
    result = conform(save(tmp_path, sequential))
    assert numbers(result) == (1, 2)
    assert divergence(result)[:3] == [
        f"trace S0000, call 1: {SECOND_ADD}",
        f"{register}: recorded {was ^ 1 << 62:#x}, model {was:#x}",
        "the calls before it:",
    ]


def test_status_and_registers_are_all_named(tmp_path: Path, sequential: Json) -> None:
    call = sequential["calls"][0]
    call["status"] = "0xc000030400000001"
    call["out"] |= {"rdx": "0x1", "r9": "0x9"}
    assert divergence(conform(save(tmp_path, sequential))) == [
        f"trace S0000, call 0: {FIRST_ADD}",
        "status: recorded HPA_RANGE_NOT_FREE|RCX, model SUCCESS",
        "rdx: recorded 0x1, model 0x59000000",
        "r9: recorded 0x9, model 0x0",
    ]


def test_only_the_last_five_calls_before_it_are_shown(tmp_path: Path, sequential: Json) -> None:
    sequential["calls"][9]["status"] = "0x1"
    lines = divergence(conform(save(tmp_path, sequential)))
    before = lines[lines.index("the calls before it:") + 1 :]
    assert len(before) == 5


FINAL_PARTS = [
    ("ranges", {"hpa": "0x1", "pt": "REG", "owner": "0x2"}),
    ("pages", ["0x1000", 1, "TDR", "0x0"]),
    ("bitmap", "0x1000"),
    ("hp", "KOT"),
]


@pytest.mark.parametrize(("part", "extra"), FINAL_PARTS)
def test_an_extra_item_in_the_final_state(
    tmp_path: Path, sequential: Json, part: str, extra: object
) -> None:
    sequential["final"][part].append(extra)
    result = conform(save(tmp_path, sequential))
    calls = len(sequential["calls"])
    assert numbers(result) == (calls - 1, calls)
    lines = divergence(result)
    assert lines[0].startswith(f"trace S0000, call {calls - 1}: TDH.")
    assert lines[1] == f"state, {part}: only recorded [{extra!r}]; only in the model []"
    assert lines[2] == "the calls before it:"


def test_a_part_that_was_not_recorded_is_not_compared_and_counted(
    tmp_path: Path, sequential: Json
) -> None:
    del sequential["final"]["kot"]
    result = conform(save(tmp_path, sequential, {**sequential, "final": None}))
    assert result.first_divergence is None
    assert result.not_recorded == {"'kot' in the final state": 1, "the final state": 1}


def test_a_missing_item_in_the_final_state(tmp_path: Path, sequential: Json) -> None:
    gone = sequential["final"]["pages"].pop(0)
    lines = divergence(conform(save(tmp_path, sequential)))
    assert lines[1] == f"state, pages: only recorded []; only in the model [{gone!r}]"


@pytest.mark.parametrize(("part", "key"), [("kot", "40"), ("tds", "0x40000000")])
def test_a_wrong_key_or_td_in_the_final_state(
    tmp_path: Path, sequential: Json, part: str, key: str
) -> None:
    sequential["final"][part][key] = ["FLUSHED", 7]
    lines = divergence(conform(save(tmp_path, sequential)))
    recorded, model = lines[1].split(", model ")
    assert recorded.startswith(f"state, {part}: recorded {{'{key}'")
    assert "['FLUSHED', 7]" in recorded
    assert "['FLUSHED', 7]" not in model


def test_the_first_of_two_divergences_is_shown_and_both_are_counted(
    tmp_path: Path, sequential: Json
) -> None:
    other = load("sequential", "S0239")
    sequential["calls"][0]["status"] = other["calls"][0]["status"] = "0x1"
    result = conform(save(tmp_path, sequential, other))
    assert (result.traces, *numbers(result)) == (2, 0, 2)
    assert divergence(result)[0].startswith("trace S0000, call 0:")
    assert result.by_group == {"life": (1, 0), "mem": (1, 0)}


def test_traces_after_a_divergence_are_compared_as_well(tmp_path: Path, sequential: Json) -> None:
    other = load("sequential", "S0239")
    sequential["calls"][0]["status"] = "0x1"
    result = conform(save(tmp_path, sequential, other))
    calls = len(other["calls"])
    assert numbers(result) == (calls, calls + 1)


LOCK_CALL = "case L004 (add: both hpas inside own 2MB range): TDH.PHYMEM.PAMT.ADD("


def test_a_lock_event_that_failed(tmp_path: Path, locks: Json) -> None:
    events = len(locks["events"])
    locks["events"][1][3] = False
    result = conform(save(tmp_path, locks))
    assert numbers(result) == (0, 1)
    lines = divergence(result)
    assert lines[0].startswith(LOCK_CALL)
    assert lines[1] == f"events differ at index 1 ({events} recorded, {events} in the model):"
    assert [line for line in lines if line.startswith("! ")] == [
        f"!   1 recorded {'acq SH PAMT_2M[0x40000000] FAILED':45} model acq SH PAMT_2M[0x40000000]"
    ]


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (0, "rel", "rel SH PAMT_1G[0x40000000]"),
        (1, "EX", "acq EX PAMT_1G[0x40000000]"),
        (2, "KOT", "acq SH KOT"),
    ],
)
def test_a_lock_event_with_a_wrong_field(
    tmp_path: Path, locks: Json, field: int, value: str, shown: str
) -> None:
    locks["events"][0][field] = value
    lines = divergence(conform(save(tmp_path, locks)))
    assert f"!   0 recorded {shown:45} model acq SH PAMT_1G[0x40000000]" in lines


def test_a_lock_event_too_many_or_too_few(tmp_path: Path, locks: Json) -> None:
    last = locks["events"].pop()
    missing = divergence(conform(save(tmp_path, locks)))
    n = len(locks["events"])
    assert missing[1] == f"events differ at index {n} ({n} recorded, {n + 1} in the model):"
    locks["events"] += [last, last]
    extra = divergence(conform(save(tmp_path, locks)))
    assert extra[1] == f"events differ at index {n + 1} ({n + 2} recorded, {n + 1} in the model):"


def test_two_events_the_other_way_round(tmp_path: Path, locks: Json) -> None:
    events = locks["events"]
    at = next(i for i, event in enumerate(events) if event[0] == "bts")
    events[at], events[at + 1] = events[at + 1], events[at]
    lines = divergence(conform(save(tmp_path, locks)))
    assert lines[1].startswith(f"events differ at index {at} (")


@pytest.mark.parametrize("part", ["status", "out", "final"])
def test_the_result_of_a_lock_case_is_compared_too(tmp_path: Path, locks: Json, part: str) -> None:
    if part == "final":
        locks["final"]["hp"] = ["KOT"]
        wanted = "state, hp: only recorded ['KOT']; only in the model []"
    elif part == "out":
        locks["call"]["out"]["r13"] = "0x5"
        wanted = "r13: recorded 0x5, model 0x0"
    else:
        locks["call"]["status"] = "0x8000020000000001"
        wanted = "status: recorded OPERAND_BUSY|RCX, model SUCCESS"
    result = conform(save(tmp_path, locks))
    assert numbers(result) == (0, 1)
    assert divergence(result)[1:] == [wanted]


def test_a_set_up_call_of_a_lock_case_is_compared_too(tmp_path: Path) -> None:
    case = load("locks", "L001")
    case["setup"][0]["out"]["r8"] = "0x8"
    result = conform(save(tmp_path, case))
    assert numbers(result) == (0, 1)
    lines = divergence(result)
    assert lines[0].startswith("case L001 (rdmd 2MB of non-leaf), set-up call 0: TDH.PHYMEM.PAMT")
    assert lines[1:] == ["r8: recorded 0x8, model 0x4c801000"]


def test_a_model_that_raises_does_not_agree_and_the_rest_is_compared(
    tmp_path: Path, sequential: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(m: TdxModule, call: Call) -> int:
        raise LookupError("no such thing")

    path = save(tmp_path, sequential, load("sequential", "S0012"))
    monkeypatch.setitem(HANDLERS, 9, broken)  # MNG.CREATE, the third call of the first trace
    result = conform(path)
    assert result.traces == 2
    assert result.items > result.agree
    text = divergence(result)[0]
    assert text.startswith("line 1, trace S0000: the model raised LookupError at ")
    assert text.endswith(": no such thing")


def test_the_model_must_agree_with_itself_after_every_call(
    tmp_path: Path, sequential: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = HANDLERS[58]

    def forgets_a_bit(m: TdxModule, call: Call) -> int:
        status = add(m, call)
        m.pamt.tdmrs[0].bitmap.reset(call.regs.rdx)
        return status

    monkeypatch.setitem(HANDLERS, 58, forgets_a_bit)
    result = conform(save(tmp_path, sequential))
    assert numbers(result) == (0, 1)
    assert divergence(result)[1] == (
        "model, bitmap: 0x59000000 is a PAMT page, but its bitmap bit is clear"
    )


def test_stopping_early_leaves_the_rest_of_the_file(tmp_path: Path, sequential: Json) -> None:
    sequential["calls"][2]["status"] = "0x8000020000000001"
    path = save(tmp_path, sequential, load("sequential", "S0012"))
    early, whole = conform(path, stop_early=True), conform(path)
    assert (early.traces, numbers(early)) == (1, (2, 3))
    assert (whole.traces, numbers(whole)) == (2, (2 + 66, 3 + 66))
    assert whole.first_divergence == early.first_divergence
