"""The key ownership table (KOT): which HKID belongs to a TD, and its way back."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.module.lock import MutexLock, SharexLock
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.module.platform import Platform
    from tdxfuzz.sim import Contents, Simulator


class Kot(Enum):
    """State of an HKID."""

    FREE = "FREE"
    RESERVED = "RESERVED"
    ASSIGNED = "ASSIGNED"
    FLUSHED = "FLUSHED"


class KeyEntry:
    """One HKID. ``wbinvd_bitmap``: packages that still have to write back their cache."""

    __slots__ = ("state", "wbinvd_bitmap")

    STATE: ClassVar = Declared(shared="state wbinvd_bitmap")

    def __init__(self, state: Kot) -> None:
        self.state = state
        self.wbinvd_bitmap = 0


class WritebackEntry:
    """Progress of TDH.PHYMEM.CACHE.WB on one package."""

    __slots__ = ("flushed", "intr_point", "lock")

    STATE: ClassVar = Declared(shared="flushed intr_point", locks="lock")

    def __init__(self, lock: MutexLock) -> None:
        self.lock = lock
        self.intr_point = 0
        self.flushed: tuple[int, ...] = ()


class KeyTable:
    """KOT with its lock, and the write-back table with its mutex per package."""

    __slots__ = ("entries", "lock", "writeback")

    STATE: ClassVar = Declared(parts="entries writeback", locks="lock")

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

    def in_key(self, read: Contents) -> tuple[object, ...]:
        return read(self.lock), self.taken(read), read(self.writeback)

    def taken(self, read: Contents) -> tuple[object, ...]:
        """What its lock guards: the keys that are not free, for most are. Not a step."""
        free = Kot.FREE
        return tuple(
            [
                (hkid, read(entry))
                for hkid, entry in self.entries.items()
                if entry.state is not free or entry.wbinvd_bitmap
            ]
        )
