"""How another module might be: named changes to 1.5.25, to ask what would survive them.

The host relies on lock behaviour that is documented only as far as resources go; "what if
the module changes its locking in 5 years or 10?" was asked on the list, 2025-09-26.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from tdxfuzz.module.lock import EXCLUSIVE, SHARED

T = TypeVar("T")


@frozen
class Variant:
    """What is otherwise: which locks a leaf takes on a 2MB range, and how many pages back it.

    One of the two hooks of the PAMT; the other is ``split.py``.

    ``donor_mode``: how PAMT.ADD holds the 4KB entries of the pages it is given.
    ``donors_first``: ADD locks those pages before the range.
    ``ranges_exclusive``: a leaf that takes a page exclusive takes its 2MB range exclusive too.
    ``pair_pages``: backing pages of a 2MB range; the ABI fixed two, hosts up to v5 asked.
    """

    name: str
    about: str
    donor_mode: str = SHARED
    donors_first: bool = False
    ranges_exclusive: bool = False
    pair_pages: int = 2

    def pair_of(self, registers: tuple[str, ...]) -> tuple[str, ...]:
        """The registers that hold a range's backing pages, of all those that could."""
        return registers[: self.pair_pages]

    def range_then_donors(self, lock_range: Callable[[], T], lock_donors: Callable[[], None]) -> T:
        """Lock a range, then the pages that are to back it: the order of 1.5.25.

        Returns:
            What ``lock_range`` returned.
        """
        if self.donors_first:
            lock_donors()
            return lock_range()
        locked = lock_range()
        lock_donors()
        return locked


DEFAULT = Variant("1.5.25", "the module as it is")

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        DEFAULT,
        Variant("donors-ex", "ADD holds the pages of the pair exclusive", donor_mode=EXCLUSIVE),
        Variant("donors-first", "ADD locks the pair's pages, then the range", donors_first=True),
        Variant(
            "ranges-ex",
            "an exclusive lock of a page also takes its 2MB range exclusive",
            ranges_exclusive=True,
        ),
        Variant("one-page", "a 2MB range is backed by one page", pair_pages=1),
        Variant("four-pages", "a 2MB range is backed by four pages", pair_pages=4),
    )
}
"""By name."""
