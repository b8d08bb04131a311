"""What people call the pages of simulated memory: A17 is page 17 of the 2MB range A."""

from __future__ import annotations

import re

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K

TDMR_BASE = 1 << 32

_LETTERS = "ABCDEFGH"
_NAME = re.compile(r"([A-H])(\d{1,3})(?:\|(\d{1,4}))?")


def name_of_range(hpa: int) -> str:
    """``"A"``, ``"B"``, …; hex outside the world's memory."""
    index = (hpa - TDMR_BASE) // SIZE_2M
    return _LETTERS[index] if 0 <= index < len(_LETTERS) else hex(hpa)


def name_of_page(hpa: int) -> str:
    """``"A17"``: page 17 of range A."""
    range_name = name_of_range(hpa)
    return f"{range_name}{hpa >> 12 & 511}" if range_name in _LETTERS else hex(hpa)


def name_of_operand(value: int) -> str:
    """A register: a page with what its low bits add (``"A0|1"``), else hex."""
    name = name_of_page(value & -SIZE_4K)
    if name[0] not in _LETTERS:
        return hex(value)
    return f"{name}|{value & 0xFFF}" if value & 0xFFF else name


def operand_of(text: str) -> int:
    """A register from what :func:`name_of_operand` gives, or from a number.

    Raises:
        ValueError: it is neither.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        return int(text, 0)
    letter, page, low = match.groups()
    if int(page) > 511 or int(low or 0) > 0xFFF:
        raise ValueError(
            f"{text!r} is not a page; a range has pages 0..511, and low bits are 0..4095"
        )
    hpa = TDMR_BASE + _LETTERS.index(letter) * SIZE_2M + int(page) * SIZE_4K
    return hpa | int(low or 0)
