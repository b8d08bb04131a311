"""The mirrored locks taken in PFN order, as proposed when the AB-BA case was pointed out."""

from __future__ import annotations

from tdxfuzz.host.design import Pair
from tdxfuzz.host.designs.per_range_rwlock import PerRangeRwlock


class PerRangeRwlockOrdered(PerRangeRwlock):
    """Like ``per-range-rwlock``, but get takes the locks of the lowest range first."""

    def order(self, pfn: int, pair: Pair) -> list[int]:
        return sorted({pfn >> 9, *(page >> 9 for page in pair)})
