"""The key ownership table (KOT): which HKID belongs to a TD, and its way back."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from tdxfuzz.module.lock import MutexLock, SharexLock

if TYPE_CHECKING:
    from tdxfuzz.module.platform import Platform
    from tdxfuzz.sim import Simulator


class Kot(Enum):
    """State of an HKID."""

    FREE = "FREE"
    RESERVED = "RESERVED"
    ASSIGNED = "ASSIGNED"
    FLUSHED = "FLUSHED"


class KeyEntry:
    """One HKID. ``wbinvd_bitmap``: packages that still have to write back their cache."""

    __slots__ = ("state", "wbinvd_bitmap")

    def __init__(self, state: Kot) -> None:
        self.state = state
        self.wbinvd_bitmap = 0


class WritebackEntry:
    """Progress of TDH.PHYMEM.CACHE.WB on one package."""

    __slots__ = ("flushed", "intr_point", "lock")

    def __init__(self, lock: MutexLock) -> None:
        self.lock = lock
        self.intr_point = 0
        self.flushed: tuple[int, ...] = ()


class KeyTable:
    """KOT with its lock, and the write-back table with its mutex per package."""

    __slots__ = ("entries", "lock", "writeback")

    def __init__(self, sim: Simulator, platform: Platform) -> None:
        self.lock = SharexLock(sim, "KOT")
        self.entries = {
            hkid: KeyEntry(Kot.RESERVED if hkid == platform.global_hkid else Kot.FREE)
            for hkid in range(platform.private_hkid_min, platform.private_hkid_max + 1)
        }
        self.writeback = [
            WritebackEntry(MutexLock(sim, f"WBT[{package}]"))
            for package in range(platform.packages)
        ]
