"""The 2MB ranges that a text names: ``A``, page ``A16``, lock ``pamt_lock[0x800]``."""

from __future__ import annotations

import re

from tdxfuzz.abi.address import SIZE_2M
from tdxfuzz.case.names import TDMR_BASE, name_of_range

_NAMED = re.compile(r"(?<![\w.])([A-H])\d{0,3}(?!\w)|0x([0-9a-f]+)")


def ranges_in(text: str) -> frozenset[str]:
    """Their names."""
    found = set()
    for letter, digits in _NAMED.findall(text):
        name = letter or _of_number(int(digits, 16))
        if name:
            found.add(name)
    return frozenset(found)


def _of_number(number: int) -> str:
    """Of an address, or of the number of a range as it stands in the names of locks."""
    hpa = number if number >= TDMR_BASE else number * SIZE_2M
    name = name_of_range(hpa)
    return name if len(name) == 1 else ""
