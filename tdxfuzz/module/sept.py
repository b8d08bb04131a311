"""Secure EPT pages and entries as shared state, and the walk through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.codes import OPERAND_BUSY, OPERAND_BUSY_HOST_PRIORITY, SUCCESS
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.memory import Memory, Page
from tdxfuzz.module.sept_entry import (
    BASE,
    FREE,
    INIT_VALUE,
    RWX,
    TDEL,
    TDHP,
    is_leaf,
    state_of,
    without_accept_count,
)
from tdxfuzz.module.sept_state import ENCODING_MASK, SeptState
from tdxfuzz.sim import EVENT, READ, RMW, Cell, Declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tdxfuzz.module.platform import Platform
    from tdxfuzz.sim import Contents, Simulator


class SeptEntry(Cell):
    """One S-EPT entry: 64 bits with a lock bit (TDEL) and a host-priority bit (TDHP)."""

    __slots__ = ("gpa", "level", "raw", "tdr")

    STATE: ClassVar = Declared(shared="raw", fixed="gpa level tdr")

    def __init__(self, sim: Simulator, raw: int, tdr: int, gpa: int, level: int) -> None:
        super().__init__(sim)
        self.raw = raw
        self.tdr = tdr
        self.gpa = gpa
        self.level = level

    @property
    def name(self) -> str:
        return f"SEPTE[{self.tdr:#x},{self.gpa:#x},{self.level}]"

    def lock_host(self) -> bool:
        """sept_lock_acquire_host: set the lock bit, clear host priority; or set it."""
        sim = self.sim
        sim.step(self, EVENT | RMW)
        was_free = not self.raw & TDEL
        self.raw |= TDEL
        sim.step(self, RMW)
        if was_free:
            self.raw &= ~TDHP
        else:
            self.raw |= TDHP
        if sim.log is not None:
            sim.log("acq", "EX", self.name, was_free)
        return was_free

    def lock_guest(self) -> int:
        """sept_lock_acquire_guest: set the lock bit, but make way where a host has priority.

        SUCCESS, OPERAND_BUSY or OPERAND_BUSY_HOST_PRIORITY.
        """
        sim = self.sim
        sim.step(self, EVENT | RMW)
        result = SUCCESS
        if self.raw & TDEL:
            result = OPERAND_BUSY
        else:
            self.raw |= TDEL
            sim.step(self, READ)
            if self.raw & TDHP:
                sim.step(self, RMW)
                self.raw &= ~TDEL
                result = OPERAND_BUSY_HOST_PRIORITY
        if sim.log is not None:
            sim.log("acq", "EX", self.name, result == SUCCESS)
        return result

    def unlock(self) -> None:
        """sept_lock_release."""
        sim = self.sim
        sim.step(self, EVENT | RMW)
        if not self.raw & TDEL:
            raise ModuleFatal(196, f"release of {self.name}, which is not locked")
        self.raw &= ~TDEL
        if sim.log is not None:
            sim.log("rel", "EX", self.name, True)

    def update(self, value: int) -> None:
        """atomically_update_sept_state_keep_tdhp: compare-exchange until TDHP held still."""
        sim = self.sim
        sim.step(self, READ)
        expected = self.raw
        while True:
            sim.step(self, EVENT | RMW)
            old = self.raw
            if old == expected:
                self.raw = value & ~TDHP | expected & TDHP
            if sim.log is not None:
                sim.log("cmpxchg", "", self.name, old == expected)
            if old == expected:
                return
            expected = old


class SeptPage(Page):
    """An S-EPT page: 512 entries, made when they are first touched.

    An entry never touched has ``fill`` with ``stride`` bytes more for each index.
    """

    __slots__ = ("entries", "fill", "stride")

    STATE: ClassVar = Declared(shared="fill stride", parts="entries")

    def __init__(self, hpa: int, fill: int = INIT_VALUE, stride: int = 0) -> None:
        super().__init__(hpa)
        self.entries: dict[int, SeptEntry] = {}
        self.fill = fill
        self.stride = stride

    def in_key(self, read: Contents) -> tuple[object, ...]:
        """An entry that is as the page was filled need not have been made yet."""
        fill, stride = self.fill, self.stride
        return (
            self.owned,
            fill,
            stride,
            *[
                (index, entry.raw)
                for index, entry in sorted(self.entries.items())
                if entry.raw != fill + index * stride
            ],
        )

    def raw(self, index: int) -> int:
        """The value of an entry. Not a step."""
        entry = self.entries.get(index)
        return self.fill + index * self.stride if entry is None else entry.raw

    def zero(self) -> None:
        self.entries, self.fill, self.stride = {}, 0, 0

    def is_free(self) -> bool:
        """Whether all 512 entries are FREE."""
        if self.fill != INIT_VALUE and len(self.entries) < 512:
            return False
        return all(state_of(e.raw) is SeptState.FREE for e in self.entries.values())


class SecureEpt:
    """The S-EPT of one TD: its root, and how to find the pages below it."""

    __slots__ = ("_key_mask", "levels", "memory", "root", "sim", "tdr")

    STATE: ClassVar = Declared(fixed="_key_mask levels memory root sim tdr")

    def __init__(
        self,
        sim: Simulator,
        memory: Memory,
        platform: Platform,
        tdr: int,
        root: SeptPage,
        levels: int,
    ) -> None:
        self.sim = sim
        self.memory = memory
        self.tdr = tdr
        self.root = root
        self.levels = levels
        self._key_mask = platform.key_bits.mask

    def walk(self, gpa: int, target: int) -> tuple[SeptEntry, int]:
        """secure_ept_walk: the entry at level ``target``, or the one that ends the walk.

        An entry that maps a lower page is read without a step: only holders of the whole
        tree can change it. The entry that ends the walk is read in a step.

        Returns:
            The entry, and its value when it was read.
        """
        page, level = self.root, self.levels - 1
        while True:
            entry = self._entry(page, gpa, level)
            if level == target:
                self.sim.step(entry, READ)
                return entry, entry.raw
            if not entry.raw & RWX or is_leaf(entry.raw):
                self.sim.step(entry, READ)
            raw = entry.raw
            if not raw & RWX or is_leaf(raw):
                return entry, raw
            page, level = self.page_of(raw), level - 1

    def walk_guest(self, gpa: int, target: int) -> tuple[SeptEntry, int]:
        """secure_ept_walk for a guest: as :meth:`walk`, but every entry is read in a step.

        It holds no lock. The pages it walks through stay: while a vCPU runs, TLB tracking
        of what was blocked since it was entered does not complete.
        """
        page, level = self.root, self.levels - 1
        while True:
            entry = self._entry(page, gpa, level)
            self.sim.step(entry, READ)
            raw = entry.raw
            if level == target or not raw & RWX or is_leaf(raw):
                return entry, raw
            page, level = self.page_of(raw), level - 1

    def page_of(self, raw: int) -> SeptPage:
        """The S-EPT page that a non-leaf entry points to."""
        page = self.memory.at(raw & BASE & ~self._key_mask)
        assert isinstance(page, SeptPage), "a mapped S-EPT entry points to an S-EPT page"
        return page

    def page_below(self, raw: int) -> SeptPage | None:
        """The S-EPT page that an entry points to, if it still is one. Not a step."""
        if not raw & BASE or is_leaf(raw):
            return None
        page = self.memory.at(raw & BASE & ~self._key_mask)
        return page if isinstance(page, SeptPage) else None

    def is_free(self, raw: int) -> bool:
        """Whether an entry with this value is FREE."""
        return raw & ENCODING_MASK == FREE

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """All entries that are not FREE, as (gpa, level, value). Not a step.

        How far an ACCEPT has come is left out of the value.
        """
        return self._below(self.root, self.levels - 1, 0)

    def _below(self, page: SeptPage, level: int, base: int) -> Iterator[tuple[int, int, int]]:
        size = SIZE_4K << 9 * level
        for index in sorted(page.entries) if self.is_free(page.fill) else range(512):
            raw = page.raw(index)
            if self.is_free(raw):
                continue
            yield base + index * size, level, without_accept_count(raw, level)
            if not is_leaf(raw):
                yield from self._below(self.page_of(raw), level - 1, base + index * size)

    def touched(self) -> Iterator[SeptEntry]:
        """Every entry some call has looked at, FREE ones included. Not a step."""
        for page in self.pages():
            yield from page.entries.values()

    def pages(self) -> Iterator[SeptPage]:
        """Its pages. Not a step."""
        ahead = [self.root]
        while ahead:
            page = ahead.pop()
            yield page
            for entry in page.entries.values():
                below = self.page_below(entry.raw)
                if below is not None:
                    ahead.append(below)

    def _entry(self, page: SeptPage, gpa: int, level: int) -> SeptEntry:
        index = gpa >> 12 + 9 * level & 511
        entry = page.entries.get(index)
        if entry is None:
            aligned = gpa & -(SIZE_4K << 9 * level)
            entry = SeptEntry(self.sim, page.raw(index), self.tdr, aligned, level)
            page.entries[index] = entry
        return entry
