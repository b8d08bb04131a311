"""What people call the pages of simulated memory: A17 is page 17 of the 2MB range A."""

from __future__ import annotations

import re

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K

TDMR_BASE = 1 << 32

_LETTERS = "ABCDEFGH"
_BRACKETS = re.compile(r"\b(\w+)\[(0x[0-9a-f]+)(?:,(0x[0-9a-f]+),(\d))?\]")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{9,}\b")
_OF_TD = ("OP_STATE", "SEPT_TREE", "TD_EPOCH", "EPOCH", "REFCOUNT", "CHLDCNT", "SEPTE")
"""Things of a TD, by the address of its TDR."""

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


def with_names(text: str) -> str:
    """A text in which locks, counts and pages are called by what they are: ``the PAMT 2MB entry
    of range B`` for ``PAMT_2M[0x100200000]``; ``pamt_lock[B]`` for ``pamt_lock[0x801]``, which is
    the number of its 2MB range; ``B3`` for the address of that page. What lies elsewhere stays.
    """
    return _ADDRESS.sub(lambda found: name_of_page(int(found[0], 16)), _BRACKETS.sub(_named, text))


def _named(found: re.Match[str]) -> str:
    kind, number, gpa, level = found.groups()
    value = int(number, 16)
    hpa = value if value >= TDMR_BASE else value * SIZE_2M
    range_name, page = name_of_range(hpa), name_of_page(hpa)
    if range_name not in _LETTERS:
        return found[0]
    if kind in _OF_TD:
        what = kind if gpa is None else f"the S-EPT entry of GPA {gpa} level {level}"
        return f"{what} of the TD with TDR {page}"
    match kind:
        case "PAMT_1G":
            return "the PAMT 1GB entry of all ranges"
        case "PAMT_2M":
            return f"the PAMT 2MB entry of range {range_name}"
        case "PAMT_4K":
            return f"the PAMT 4KB entry of page {page}"
        case "PAGE_COUNT":
            return f"the page count of range {range_name}"
        case _:
            return f"{kind}[{page if value >= TDMR_BASE else range_name}]"


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
