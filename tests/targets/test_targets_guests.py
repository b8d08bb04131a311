"""Recordings with guests: what a vCPU does after its entry, and what it is told."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tdxfuzz.targets.conform import Conformance, conform
from tdxfuzz.targets.guest import Leave, Tdcall, Touch, script_of
from tdxfuzz.targets.recording import RecordingError

from .recordings import CORPUS, Json, divergence, load, save_bytes, text_of

OUT = dict.fromkeys(("rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13"), "0x0")
TDCALL: Json = {
    "op": "tdcall",
    "leaf": 6,
    "name": "TDG_MEM_PAGE_ACCEPT",
    "version": 0,
    "in": {"rcx": "0x1"},
    "status": "0x0",
    "out": OUT,
}
TOUCH: Json = {"op": "touch", "gpa": "0x1000", "write": 1, "result": "ok"}
GUEST, TIMEOUT = "G0100", "U0000"


def compared(folder: Path, *traces: Json) -> Conformance:
    content = gzip.compress(text_of(*traces).encode())
    params = CORPUS / "third" / "td_params.json"
    return conform(save_bytes(folder, content, params=params))


def operations(trace: Json, op: str) -> list[Json]:
    """Those of a trace that came back with something."""
    entries = [call for call in trace["calls"] if call.get("guest")]
    found = [each for call in entries for each in call["guest"] if each["op"] == op]
    return [each for each in found if each.get("status") or each.get("result")]


def test_operations_are_read() -> None:
    script = script_of([TOUCH, TDCALL, {**TDCALL, "status": None}, {"op": "exit", "reason": 2}])
    touch, tdcall, lost, leave = script.operations
    assert isinstance(touch, Touch)
    assert isinstance(tdcall, Tdcall)
    assert isinstance(lost, Tdcall)
    assert (str(touch), touch.told) == ("write 0x1000", "ok")
    assert (str(tdcall), tdcall.told) == ("TDG.MEM.PAGE.ACCEPT(rcx=0x1)", "0x0 SUCCESS")
    assert lost.told is None
    assert leave == Leave(2)
    assert script.told == ("ok", "0x0 SUCCESS")


def test_a_script_differs_where_its_guest_was_told_something_else() -> None:
    script = script_of([TOUCH, TDCALL])
    assert script.differences(("ok", "0x0 SUCCESS")) == []
    assert script.differences(("ve",)) == [
        "guest, write 0x1000: recorded ok, model ve",
        "guest, TDG.MEM.PAGE.ACCEPT(rcx=0x1): recorded 0x0 SUCCESS, model no result",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({**TOUCH, "op": "sleep"}, "must be touch, tdcall or exit, not 'sleep'"),
        ({"op": "exit", "reason": 48}, "cannot leave with exit reason 48"),
        ({"op": "exit", "reason": "1"}, "'reason' must be a number"),
        ({**TDCALL, "leaf": -1}, "'leaf' must be"),
        ({**TDCALL, "version": 256}, "'version' must be"),
        ({**TDCALL, "in": {"rax": "0x1"}}, "'rax' is not a register"),
        ({**TOUCH, "gpa": 4096}, "must be a hex string"),
        (7, "must be an object"),
    ],
)
def test_an_operation_that_cannot_be_is_refused(change: object, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        script_of([change])


def test_a_guest_that_the_model_follows_agrees(tmp_path: Path) -> None:
    trace = load("third/guest", GUEST)
    result = compared(tmp_path, trace)
    assert result.first_divergence is None
    assert result.agree == len(trace["calls"])


def other_touch(trace: Json) -> None:
    touch = operations(trace, "touch")[0]
    touch["result"] = "ve" if touch["result"] == "ok" else "ok"


def other_status(trace: Json) -> None:
    operations(trace, "tdcall")[0]["status"] = "0xc000010000000000"


def other_register(trace: Json) -> None:
    operations(trace, "tdcall")[0]["out"]["r13"] = "0xd"


def came_back(trace: Json) -> None:
    operations(trace, "touch")[0]["result"] = None


@pytest.mark.parametrize("change", [other_touch, other_status, other_register, came_back])
def test_what_a_guest_is_told_is_compared(tmp_path: Path, change: Callable[[Json], None]) -> None:
    trace = load("third/guest", GUEST)
    change(trace)
    lines = divergence(compared(tmp_path, trace))
    assert any(line.startswith("guest, ") for line in lines), lines


def test_the_time_stamp_counter_is_set_before_a_call(tmp_path: Path) -> None:
    """An entry that was refused for a counter that went back is not, if it did not."""
    trace = next(
        trace
        for trace in (load("third/guest", f"G{number:04}") for number in range(0, 150, 2))
        if any("TSC_ROLLBACK" in call["status_name"] for call in trace["calls"])
    )
    assert compared(tmp_path, trace).first_divergence is None
    for call in trace["calls"]:
        call.pop("tsc", None)
    assert any("TSC_ROLLBACK" in line for line in divergence(compared(tmp_path, trace)))


def test_the_time_stamp_counter_is_set_before_an_event(tmp_path: Path) -> None:
    trace = load("third/guest_interleaved", TIMEOUT)
    assert compared(tmp_path, trace).first_divergence is None
    trace["tsc"] = trace["tsc"][:1]
    assert divergence(compared(tmp_path, trace))


@pytest.mark.parametrize("entry", [[100_000, "0x1"], [-1, "0x1"], [0, "0x10000000000000000"]])
def test_a_moment_outside_of_the_order_is_refused(tmp_path: Path, entry: list[object]) -> None:
    trace = load("third/guest_interleaved", TIMEOUT)
    trace["tsc"] = [entry]
    with pytest.raises(RecordingError, match="'tsc' must be 0"):
        compared(tmp_path, trace)


def test_a_guests_leaf_that_is_not_modelled_cuts_the_trace(tmp_path: Path) -> None:
    trace = load("third/guest", GUEST)
    operations(trace, "tdcall")[0] |= {"leaf": 1, "name": "TDG_VP_INFO"}
    result = compared(tmp_path, trace)
    assert (result.cut, result.not_modelled) == (1, frozenset({"TDG.VP.INFO"}))
    assert result.first_divergence is None
