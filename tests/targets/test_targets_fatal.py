"""Recordings in which the module dies: none is in the corpus, so one is made up here.

A guest page is removed, the last one of its range, while another CPU takes the pair of
that range back. Between the page's type and its count the module finds a contradiction.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tdxfuzz.abi import Registers, find
from tdxfuzz.targets.conform import conform
from tdxfuzz.targets.drive import EventOrder
from tdxfuzz.targets.interleaved import drive
from tdxfuzz.targets.recording import COMPARED, RecordedCall, call_of, calls_of, read_params
from tdxfuzz.targets.world import ModelUnderTest, World, world_of

from .recordings import CORPUS, Json, divergence, save

HOME, RANGE, GPA = 0x40000000, 0x40200000, 0x80000000
CONFIG: Json = {
    "tdmrs": [{"base": hex(HOME), "size": "0x40000000", "reserved": []}],
    "dynamic_pamt": 1,
    "memory": [["0x1000000", "P4"]],
}
TABLES = ((0, 3, HOME + 0x8000), (GPA, 2, HOME + 0x9000), (GPA, 1, HOME + 0xA000))


def call(leaf: str, **registers: int) -> Json:
    """A call that has not returned."""
    given = {name: hex(value) for name, value in registers.items()}
    return {"leaf": find(leaf).number, "name": leaf, "version": 0, "in": given}


REMOVE_PAGE = call("MEM_PAGE_REMOVE", rcx=GPA, rdx=HOME)
REMOVE_PAIR = call("PHYMEM_PAMT_REMOVE", rcx=RANGE | 1)
SET_UP = [
    call("PHYMEM_PAMT_ADD", rcx=HOME | 1, rdx=0x60000000, r8=0x60001000),
    call("PHYMEM_PAMT_ADD", rcx=RANGE | 1, rdx=0x60002000, r8=0x60003000),
    call("MNG_CREATE", rcx=HOME, rdx=40),
    call("MNG_KEY_CONFIG", rcx=HOME),
    *(call("MNG_ADDCX", rcx=HOME + 0x1000 * i, rdx=HOME) for i in range(1, 7)),
    call("MNG_INIT", rcx=HOME, rdx=0x1000000),
    *(call("MEM_SEPT_ADD", rcx=gpa | level, rdx=HOME, r8=hpa) for gpa, level, hpa in TABLES),
    call("MEM_PAGE_AUG", rcx=GPA, rdx=HOME, r8=RANGE + 0x9000),
]


def machine() -> World:
    return world_of(CONFIG, read_params(CORPUS / "any"))


def with_result(bench: ModelUnderTest, made: Json) -> Json:
    """The call, made and written down."""
    regs = Registers.of({name: int(value, 16) for name, value in made["in"].items()})
    word = bench.module.seamcall(bench.lps[0], made["leaf"], regs)
    assert word == 0
    out = {name: hex(getattr(regs, name)) for name in COMPARED}
    return {**made, "status": hex(word), "out": out}


def recorded_set_up() -> list[Json]:
    bench = machine().build()
    return [with_result(bench, made) for made in SET_UP]


def programs() -> dict[int, tuple[RecordedCall, ...]]:
    return {0: (call_of(REMOVE_PAGE, 0),), 1: (call_of(REMOVE_PAIR, 1),)}


@pytest.fixture(scope="module")
def died() -> Json:
    """The run in which CPU 1 comes just before CPU 0 counts its page."""
    set_up = recorded_set_up()
    for first in range(100):
        bench = machine().build(cpus=2)
        for made in calls_of(set_up):
            made.on(bench)
        driven = drive(bench, programs(), EventOrder([0] * first, early=True, then=(1, 0)))
        if driven.fatal is not None:
            break
    return {
        "id": "X1",
        "family": "made up",
        "config": CONFIG,
        "setup": set_up,
        "programs": [
            {"cpu": 0, "calls": [REMOVE_PAGE | {"status": None}]},
            {"cpu": 1, "calls": [REMOVE_PAIR | {"status": None}]},
        ],
        "order": [[cpu, *event] for cpu, event in driven.events],
        "placement": "early",
        "final": None,
        "fatal": {"cpu": 1, "call": 0, "id": 343},
    }


def test_the_module_dies_where_the_recording_says(tmp_path: Path, died: Json) -> None:
    result = conform(save(tmp_path, died))
    assert result.first_divergence is None
    assert result.agree == result.items == len(died["order"])
    assert died["order"][-1][:2] == [1, "promote"]


@pytest.mark.parametrize("fatal", [{"cpu": 0, "id": 343}, {"cpu": 1, "id": 344}])
def test_another_death_is_a_divergence(tmp_path: Path, died: Json, fatal: Json) -> None:
    result = conform(save(tmp_path, died | {"fatal": fatal}))
    assert result.agree == result.items - 1
    wanted = fatal["cpu"], fatal["id"]
    assert divergence(result) == [
        "run X1 (made up, early), at the end:",
        f"fatal (CPU, id): recorded {wanted}, model (1, 343)",
    ]


def test_a_module_that_should_have_lived(tmp_path: Path, died: Json) -> None:
    lived = {key: value for key, value in died.items() if key != "fatal"}
    assert divergence(conform(save(tmp_path, lived))) == [
        "run X1 (made up, early), at the end:",
        "fatal (CPU, id): recorded None, model (1, 343)",
    ]


def test_a_call_that_should_have_returned(tmp_path: Path, died: Json) -> None:
    returned = {"status": "0x0", "out": dict.fromkeys(COMPARED, "0x0")}
    program = {"cpu": 0, "calls": [REMOVE_PAGE | returned]}
    result = conform(save(tmp_path, died | {"programs": [program, died["programs"][1]]}))
    lines = divergence(result)
    assert lines[0].startswith("run X1 (made up, early), CPU 0 call 0: TDH.MEM.PAGE.REMOVE(")
    assert lines[1] == "the model never returned"


def test_an_event_inside_which_the_module_died_is_not_compared(tmp_path: Path, died: Json) -> None:
    """Its outcome is null: nobody saw it."""
    order = [*died["order"], [1, "btr", "", "BITMAP[0x60002000]", None]]
    result = conform(save(tmp_path, died | {"order": order}))
    assert result.first_divergence is None
    assert result.items == len(died["order"])


def events_of(made: Json) -> int:
    """How many events a call has when it runs alone."""
    bench = machine().build(cpus=3)
    for earlier in calls_of(recorded_set_up()):
        earlier.on(bench)
    policy = EventOrder([], early=True, then=(1,))
    return len(drive(bench, {1: (call_of(made, 1),)}, policy).events)


def test_a_pair_tells_who_died_and_that_nobody_returned(tmp_path: Path) -> None:
    a, b = events_of(REMOVE_PAGE), events_of(REMOVE_PAIR)
    pair = {
        "id": "X2",
        "name": "made up",
        "config": CONFIG,
        "setup": recorded_set_up(),
        "A": REMOVE_PAGE,
        "B": REMOVE_PAIR,
        "alone": {"A": {"events": a}, "B": {"events": b}},
        "interleavings": 2 * (a + 1) * (b + 1),
        "outcomes": [],
    }
    lines = divergence(conform(save(tmp_path, pair)))[3:]
    deaths = [line for line in lines if "fatal" in line]
    assert len(deaths) == 1
    start = "only the model gives [A = never returned; B = never returned; fatal (2, 343)], "
    times = int(deaths[0].removeprefix(start).removesuffix(" times"))
    outcome: Json = {
        "count": times,
        "A": None,
        "B": None,
        "fatal": {"cpu": 2, "id": 343},
        "equivalent_serial": [],
        "example": [],
    }
    again = divergence(conform(save(tmp_path, pair | {"outcomes": [outcome]})))[3:]
    assert not any(line.startswith(start) for line in again)
    assert not any("recorded 0 times" in line or "equal serial orders" in line for line in again)


def test_progress_is_told_after_each_trace(tmp_path: Path, died: Json) -> None:
    told: list[int] = []
    conform(save(tmp_path, died, died), told.append)
    assert told == [1, 2]
