"""TDMRs: the memory the module may use, its reserved areas and its page bitmap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from tdxfuzz.abi.address import SIZE_1G, SIZE_4K
from tdxfuzz.module.lock import MutexLock
from tdxfuzz.sim import EVENT, READ, RMW, WRITE, Cell, Declared

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator


@frozen
class TdmrInfo:
    """How SYS.CONFIG described a TDMR: addresses and sizes in bytes.

    ``reserved`` are (address, size) pairs; ``initialized`` is how much SYS.TDMR.INIT
    has covered already, by default all of it.
    """

    base: int
    size: int
    reserved: tuple[tuple[int, int], ...] = ()
    initialized: int | None = None


class BitmapWord(Cell):
    """One quadword of PAMT_PAGE_BITMAP: 64 pages."""

    __slots__ = ("first", "value")

    STATE: ClassVar = Declared(shared="value", fixed="first")

    def __init__(self, sim: Simulator, first: int, value: int) -> None:
        super().__init__(sim)
        self.first = first
        self.value = value

    @property
    def name(self) -> str:
        return f"BITMAP_QWORD[{self.first:#x}]"


class Bitmap:
    """PAMT_PAGE_BITMAP: a bit is set for a page that backs PAMT, or is reserved."""

    __slots__ = ("_reserved", "sim", "words")

    STATE: ClassVar = Declared(parts="words", fixed="_reserved sim")

    def __init__(self, sim: Simulator, reserved: Sequence[tuple[int, int]]) -> None:
        self.sim = sim
        self.words: dict[int, BitmapWord] = {}
        self._reserved = reserved

    def test_and_set(self, hpa: int) -> bool:
        """Locked bit test and set; whether the bit was clear."""
        word = self._word(hpa)
        bit = 1 << (hpa >> 12 & 63)
        self.sim.step(word, EVENT | RMW)
        was_clear = not word.value & bit
        word.value |= bit
        if self.sim.log is not None:
            self.sim.log("bts", "", f"BITMAP[{hpa:#x}]", was_clear)
        return was_clear

    def reset(self, hpa: int) -> None:
        """Locked bit test and reset."""
        word = self._word(hpa)
        bit = 1 << (hpa >> 12 & 63)
        self.sim.step(word, EVENT | RMW)
        was_set = bool(word.value & bit)
        word.value &= ~bit
        if self.sim.log is not None:
            self.sim.log("btr", "", f"BITMAP[{hpa:#x}]", was_set)

    def test(self, hpa: int) -> bool:
        """Plain read of a bit: no lock of the reader's excludes a reset."""
        word = self._word(hpa)
        self.sim.step(word, READ)
        return bool(word.value >> (hpa >> 12 & 63) & 1)

    def is_2m_clear(self, hpa: int) -> bool:
        """Whether all 512 bits of a 2MB range are clear: one step."""
        self.sim.step(self._word(hpa), READ)
        return not any(self._word(hpa + i * 64 * SIZE_4K).value for i in range(8))

    def peek(self, hpa: int) -> bool:
        """The bit, without a step: for checks and snapshots."""
        word = self.words.get(hpa >> 18)
        if word is None:
            return self._is_reserved(hpa)
        return bool(word.value >> (hpa >> 12 & 63) & 1)

    def backing_pages(self) -> Iterator[int]:
        """Addresses whose bit is set, reserved pages left out. Not a step."""
        for _, word in sorted(self.words.items()):
            value = word.value
            while value:
                low = value & -value
                hpa = word.first + (low.bit_length() - 1) * SIZE_4K
                value ^= low
                if not self._is_reserved(hpa):
                    yield hpa

    def _word(self, hpa: int) -> BitmapWord:
        index = hpa >> 18
        word = self.words.get(index)
        if word is None:
            first = index << 18
            value = 0
            if self._reserved:
                value = sum(1 << i for i in range(64) if self._is_reserved(first + i * SIZE_4K))
            word = self.words[index] = BitmapWord(self.sim, first, value)
        return word

    def _is_reserved(self, hpa: int) -> bool:
        return any(base <= hpa < base + size for base, size in self._reserved)


class Tdmr(Cell):
    """A TDMR at run time. As a cell it stands for ``last_initialized``."""

    __slots__ = ("base", "bitmap", "last_initialized", "lock", "reserved", "size")

    STATE: ClassVar = Declared(
        shared="last_initialized", parts="bitmap lock", fixed="base reserved size"
    )

    def __init__(self, sim: Simulator, info: TdmrInfo, index: int) -> None:
        super().__init__(sim)
        self.base = info.base
        self.size = info.size
        self.reserved = info.reserved
        done = info.size if info.initialized is None else info.initialized
        self.last_initialized = info.base + done
        self.lock = MutexLock(sim, f"TDMR[{index}]")
        self.bitmap = Bitmap(sim, info.reserved)

    @property
    def name(self) -> str:
        return f"LAST_INITIALIZED[{self.base:#x}]"

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size

    def is_initialized(self, hpa: int) -> bool:
        """Whether the 1GB that ``hpa`` lies in is ready.

        A step only while SYS.TDMR.INIT still has something to do: afterwards nobody
        can write the field again.
        """
        if self.last_initialized < self.end:
            self.sim.step(self, READ)
        return hpa < self.last_initialized & -SIZE_1G

    def advance(self, size: int) -> int:
        """SYS.TDMR.INIT did ``size`` bytes more; the end of the ready 1GB blocks."""
        self.sim.step(self, WRITE)
        self.last_initialized += size
        return self.last_initialized & -SIZE_1G

    def is_reserved(self, hpa: int) -> bool:
        """Whether a page lies in a reserved area."""
        return any(base <= hpa < base + size for base, size in self.reserved)
