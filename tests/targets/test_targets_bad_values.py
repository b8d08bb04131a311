"""A recording with a field of the wrong type or range is refused with its line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tdxfuzz.targets.conform import conform

from .recordings import Json, load, problem, save, save_bytes, text_of

KINDS = {"L": "locks", "P": "contention", "I": "interleaved"}
Change = Callable[[Json], Any]


def wrong(trace_id: str, name: str, change: Change, said: str) -> object:
    return pytest.param(trace_id, change, said, id=name)


def put(*path: str | int, value: object) -> Change:
    """Write a value somewhere inside a trace."""

    def change(trace: Json) -> None:
        inside: Any = trace
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = value

    return change


WRONG_TYPES = [
    wrong("L016", "leaf in words", put("call", "leaf", value="ADD"), "'leaf', 'version' and"),
    wrong("L016", "version in words", put("call", "version", value="0"), "'leaf', 'version' and"),
    wrong("L016", "CPU in words", put("call", "cpu", value="0"), "'leaf', 'version' and 'cpu'"),
    wrong("L016", "status no string", put("call", "status", value=0), "must be a hex string"),
    wrong("L016", "no hex number", put("call", "in", "rcx", value="zz"), "invalid literal"),
    wrong("L016", "event too short", put("events", value=[["acq"]]), "not enough values"),
    wrong("L016", "events as text", put("events", value="acq"), "must be an array"),
    wrong("L016", "final as a list", put("final", value=[]), "must be an object"),
    wrong("L016", "set-up as an object", put("setup", value={}), "must be an array"),
    wrong("L016", "page too short", put("config", "memory", value=[[1]]), "not enough values"),
    wrong("P61", "count in words", put("outcomes", 0, "count", value="1"), "'count' must be"),
    wrong("P61", "orders in words", put("interleavings", value="9"), "'interleavings' must be"),
    wrong("P61", "events in words", put("alone", "A", "events", value="9"), "'events' must be"),
    wrong(
        "P61",
        "fatal in words",
        put("outcomes", 0, "fatal", value={"cpu": 1, "id": "x"}),
        "'fatal' needs numbers 'cpu' and 'id'",
    ),
    wrong(
        "I0053",
        "program CPU in words",
        put("programs", 0, "cpu", value="0"),
        "a CPU must be a number",
    ),
    wrong("I0053", "order CPU in words", put("order", 0, 0, value="0"), "a CPU must be a number"),
]


@pytest.mark.parametrize(("trace_id", "change", "said"), WRONG_TYPES)
def test_a_field_of_the_wrong_type(
    tmp_path: Path, trace_id: str, change: Change, said: str
) -> None:
    trace = load(KINDS[trace_id[0]], trace_id)
    change(trace)
    text = problem(save(tmp_path, trace))
    assert text.startswith("some.jsonl.gz:1: not a recording: ")
    assert said in text


OUT_OF_RANGE = [
    wrong("L016", "unknown register", put("call", "in", "rax", value="0x1"), "'rax'"),
    wrong("L016", "register of 65 bits", put("call", "in", "rcx", value=hex(1 << 64)), "rcx"),
    wrong("L016", "CPU of a call", put("call", "cpu", value=9), "9"),
    wrong("I0053", "CPU of a program", put("programs", 1, "cpu", value=9), "9"),
    wrong("I0053", "CPU of an event", put("order", 0, 0, value=9), "9"),
    wrong("I0053", "no programs", put("programs", value=[]), "programs"),
    wrong("P61", "host priority", put("outcomes", 0, "hp_sets", value=[[[], "1"]]), "hp_sets"),
]


@pytest.mark.parametrize(("trace_id", "change", "said"), OUT_OF_RANGE)
def test_a_value_out_of_range(tmp_path: Path, trace_id: str, change: Change, said: str) -> None:
    trace = load(KINDS[trace_id[0]], trace_id)
    change(trace)
    text = problem(save(tmp_path, trace))
    assert text.startswith("some.jsonl.gz:1: ")
    assert said in text


def test_a_file_damaged_in_the_middle(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(text_of(load("locks", "L004")).encode()))
    packed[20] ^= 0x55
    assert "cannot be read: " in problem(save_bytes(tmp_path, bytes(packed)))


def test_td_params_that_are_a_list(tmp_path: Path) -> None:
    path = save(tmp_path, load("locks", "L016"))
    (tmp_path / "td_params.json").write_text("[]")
    assert problem(path).startswith("td_params.json: not TD_PARAMS: ")


def test_a_wrong_set_up_call_of_a_pair_is_reported(tmp_path: Path) -> None:
    pair = load("contention", "P61")
    pair["setup"][0]["out"]["r13"] = "0xd"
    result = conform(save(tmp_path, pair))
    assert result.first_divergence is not None
    assert "set-up call 0" in result.first_divergence
