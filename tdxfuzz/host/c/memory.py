"""Whose memory the runtime holds: each run's own, put back and exchanged as a whole."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import ClassVar

from tdxfuzz.host.c.cells import CountInC, MemoryCell
from tdxfuzz.host.c.image import Image, loaded
from tdxfuzz.host.c.machine import CONTEXTS, machine
from tdxfuzz.host.kernel.hold import Hold
from tdxfuzz.host.kernel.lock import Mutex, Rwlock, Spinlock
from tdxfuzz.sim import Contents, Declared, WaitLock

Lock = Spinlock | Mutex | Rwlock


class CMemory:
    """What one host knows of its C memory: cells, counts and locks by address. ``pieces`` are
    cells that are part of something larger.

    ``at`` is, for each context that is in C, the address its last request came from, else 0.
    ``taken`` says where each lock that is held was taken, ``irqs`` where each CPU last turned
    interrupts off, ``irqs_off`` who has in C, ``softirqs_off`` how often softirqs, ``nests`` why
    and where it has forbidden itself to sleep; ``told`` which races were; ``tokens`` stand for
    locks of callers. ``running`` is set once the programs run. The bytes
    themselves are in the runtime while this memory is ``current``, else in ``_saved``.
    """

    __slots__ = (
        "_saved",
        "at",
        "cells",
        "counts",
        "irqs",
        "irqs_off",
        "locks",
        "nests",
        "number",
        "pieces",
        "running",
        "softirqs_off",
        "taken",
        "tokens",
        "told",
    )

    STATE: ClassVar = Declared(
        parts="cells counts locks pieces",
        tally="taken told irqs",
        derived="_saved at irqs_off nests running softirqs_off tokens",
        fixed="number",
    )

    current: ClassVar[CMemory | None] = None

    def __init__(self, image: Image) -> None:
        self.number = image.number
        self.at = [0] * CONTEXTS
        self.cells: dict[int, MemoryCell | CountInC] = {}
        self.counts: dict[int, CountInC] = {}
        self.locks: dict[int, Lock] = {}
        self.irqs: dict[int, int] = {}
        self.irqs_off: set[int] = set()
        self.softirqs_off = [0] * CONTEXTS
        self.nests: dict[int, list[tuple[str, int]]] = {}
        self.pieces: dict[tuple[int, int], MemoryCell] = {}
        self.running = False
        self.taken: dict[WaitLock, int] = {}
        self.tokens: dict[Hold, int] = {}
        self.told: set[tuple[int, int]] = set()
        self._saved = b""
        self._displace()
        machine().reset(self.number)

    @property
    def image(self) -> Image:
        """The file whose data it is."""
        # Not kept here: what is loaded cannot be put back, nor need it be.
        return loaded(self.number)

    def in_key(self, read: Contents) -> int:
        """All of it: what cells, counts and locks stand for is found elsewhere, too."""
        self.enter()
        return machine().hash()

    def enter(self) -> None:
        """Make the runtime hold this memory."""
        if CMemory.current is self:
            return
        self._displace()
        machine().load(self.number, self._saved, len(self._saved))

    def _displace(self) -> None:
        """Save what the runtime holds for whoever it belongs to: it will be ours."""
        before = CMemory.current
        if before is not None and before is not self:
            before._saved = _bytes()
        CMemory.current = self

    def __rewind__(self) -> Callable[[], None]:
        """The way back to what the memory holds now."""
        self.enter()
        kept = _bytes()

        def put_back() -> None:
            self._displace()
            machine().load(self.number, kept, len(kept))

        return put_back


def _bytes() -> bytes:
    size = machine().save(0)
    room = ctypes.create_string_buffer(size)
    machine().save(ctypes.addressof(room))
    return room.raw
