"""The mirrored locks taken in PFN order, as proposed when the AB-BA case was pointed out."""

from __future__ import annotations

from tdxfuzz.host.design import Pair
from tdxfuzz.host.designs.per_range_rwlock import PerRangeRwlock


class PerRangeRwlockOrdered(PerRangeRwlock):
    """As ``per-range-rwlock``, the lowest range first, whichever role it has."""

    def order(self, pfn: int, pair: Pair) -> list[int]:
        return sorted({pfn >> 9, *(page >> 9 for page in pair)})
