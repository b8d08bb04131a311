"""Lines of programs: host operations, and raw SEAMCALLs with named pages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.case.names import name_of_operand, operand_of
from tdxfuzz.case.operation import Op


@pytest.mark.parametrize(
    ("text", "name", "args"),
    [
        ("map 0 1", "map", (0, 1)),
        (
            "TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B3 r8=B511",
            "TDH.PHYMEM.PAMT.ADD",
            (0x100000001, 0x100203000, 0x1003FF000),
        ),
        (
            "TDH.MEM.SEPT.ADD rcx=0x3 rdx=B128 r8=C0 version=1",
            "TDH.MEM.SEPT.ADD",
            (3, 0x100280000, 0x100400000, 1),
        ),
        ("TDH.PHYMEM.CACHE.WB rcx=0x0", "TDH.PHYMEM.CACHE.WB", (0,)),
    ],
)
def test_a_line_is_read_as_it_is_written(text: str, name: str, args: tuple[int, ...]) -> None:
    op = Op.parse(text)
    assert (op.name, op.args) == (name, args)
    assert str(op) == text
    assert op.is_seamcall == name.startswith("TDH.")


def test_registers_left_out_are_zero_and_numbers_are_taken_as_they_are() -> None:
    op = Op.parse("TDH.MEM.PAGE.AUG rdx=4297064448")
    assert op.arguments == (("rcx", 0), ("rdx", 0x100200000), ("r8", 0))
    assert str(op) == "TDH.MEM.PAGE.AUG rcx=0x0 rdx=B0 r8=0x0"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "unknown operation ''"),
        ("TDH.NO.SUCH rcx=0", "unknown operation 'TDH.NO.SUCH'"),
        ("TDH.MEM.TRACK rbx=0", "does not read 'rbx'; it reads rcx"),
        ("TDH.MEM.TRACK rcx", "must be REGISTER=VALUE"),
        ("TDH.MEM.TRACK rcx=1 rcx=2", "each register once"),
        ("TDH.MEM.TRACK rcx=A512", "a range has pages 0..511"),
        ("TDH.MEM.TRACK rcx=page", "invalid literal"),
        ("TDH.MEM.TRACK rcx=-1", "rcx must be 0"),
        ("map 0", "map takes 2 arguments"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        Op.parse(text)


@given(st.integers(0, (1 << 64) - 1) | st.integers(1 << 32, (1 << 32) + (20 << 20)))
def test_every_operand_has_a_name_that_gives_it_back(value: int) -> None:
    assert operand_of(name_of_operand(value)) == value
