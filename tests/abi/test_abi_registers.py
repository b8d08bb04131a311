"""The thirteen registers of a SEAMCALL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi import Registers
from tdxfuzz.abi.registers import NAMES

words = st.integers(0, (1 << 64) - 1)


def test_registers_come_in_the_order_of_the_kernel_struct() -> None:
    order = "rcx rdx r8 r9 r10 r11 r12 r13 r14 r15 rbx rdi rsi"

    assert " ".join(NAMES) == order


def test_registers_start_at_0() -> None:
    assert Registers().as_dict() == dict.fromkeys(NAMES, 0)


def test_positional_values_go_to_the_operand_registers_in_order() -> None:
    assert repr(Registers(1, 2, 8, 9, 10, 11, 12, 13)) == (
        "<rcx=0x1 rdx=0x2 r8=0x8 r9=0x9 r10=0xa r11=0xb r12=0xc r13=0xd>"
    )


@given(st.dictionaries(st.sampled_from(NAMES), words))
def test_named_values_read_back_and_the_others_are_0(values: dict[str, int]) -> None:
    assert Registers.of(values).as_dict() == dict.fromkeys(NAMES, 0) | values


@pytest.mark.parametrize("name", ["rax", "RCX", "r16", "__class__"])
def test_an_unknown_register_is_refused_with_those_known(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not a register; known: rcx, rdx, r8"):
        Registers.of({name: 1})


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_value_of_other_than_64_bits_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=r"r9 = .* is not a 64-bit value"):
        Registers.of({"r9": value})


def test_repr_leaves_out_what_is_0() -> None:
    assert repr(Registers(rcx=0x4000_0001, r8=0x1000)) == "<rcx=0x40000001 r8=0x1000>"


@pytest.mark.parametrize("name", ["rax", "rcxx"])
def test_an_unknown_register_cannot_be_assigned(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Registers(), name, 1)
