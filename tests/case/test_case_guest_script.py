"""Guest scripts: a number in a case, a text for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.case.case import Case, CaseError
from tdxfuzz.case.guest_script import Act, Action, number_of, parse_script, script_of, script_text
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World

ACTIONS = [
    *(Action(act, slot=slot) for act in Act if act.takes_slot for slot in range(8)),
    *(Action(act, area=area) for act in Act if act.takes_area for area in range(2)),
    Action(Act.VMCALL),
    Action(Act.HLT),
]


@given(st.lists(st.sampled_from(ACTIONS), max_size=8).map(tuple))
def test_a_script_is_the_same_after_it_was_a_number_and_a_text(script: tuple[Action, ...]) -> None:
    number = number_of(script)
    assert script_of(number) == script
    assert parse_script(script_text(number)) == number
    op = Op("enter", (0, 1, number))
    assert Op.parse(str(op)) == op


@given(st.integers(0, (1 << 64) - 1))
def test_any_number_is_a_script_or_is_refused(number: int) -> None:
    try:
        script = script_of(number)
    except ValueError:
        with pytest.raises(ValueError, match="guest action"):
            Op("enter", (0, 0, number))
        return
    assert number_of(script) == number


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fly:1", "unknown guest action 'fly'; known: touch, accept"),
        ("touch", "must be touch:SLOT or touch:aAREA"),
        ("convert:a0", "must be convert:SLOT"),
        ("hlt:1", "must be hlt"),
        ("touch:9", "no such slot or area"),
        (",".join(["hlt"] * 9), "at most 8 actions, not 9"),
    ],
)
def test_what_is_wrong_with_a_script_is_said(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Op.parse(f"enter 0 0 {text}")


def test_a_script_is_about_memory_that_the_world_has() -> None:
    op = Op.parse("enter 0 0 touch:0,accept:a1")
    with pytest.raises(CaseError, match="the world has only 0 areas"):
        Case("merged", World(cpus=1), programs=((op,),))
    assert Case("merged", World(cpus=1, areas=2, tds=1), programs=((op,),)).operations == 1


def test_other_numbers_reach_into_scripts() -> None:
    op = Op.parse("enter 0 1 touch:2,accept:a1,hlt")
    assert sorted(op.numbers) == [("area", 1), ("slot", 2), ("td", 0), ("vcpu", 1)]
    assert str(op.renumbered("slot", {2: 0})) == "enter 0 1 touch:0,accept:a1,hlt"
    assert str(op.renumbered("area", {1: 0})) == "enter 0 1 touch:2,accept:a0,hlt"
