"""The module's locks, instruction by instruction (src/common/helpers/tdx_locks.h).

None of them waits. Each atomic instruction is one step; each method is one event of a
recording. A host's method returns whether the lock was obtained, a guest's a status:
SUCCESS, OPERAND_BUSY, or OPERAND_BUSY_HOST_PRIORITY.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.module.codes import OPERAND_BUSY, OPERAND_BUSY_HOST_PRIORITY, SUCCESS
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.sim import BLIND, EVENT, READ, RMW, Cell, Declared, NamedCell
from tdxfuzz.sim import SHARED as SHARERS

if TYPE_CHECKING:
    from tdxfuzz.sim import Contents, Simulator

SHARED = "SH"
EXCLUSIVE = "EX"

_EVENT_RMW = EVENT | RMW
_ACQUIRE_SH = _EVENT_RMW | SHARERS
_RELEASE_SH = _EVENT_RMW | SHARERS | BLIND
_RELEASE_EX = _EVENT_RMW | BLIND
_SET_HP = RMW | BLIND
_TAKE_BACK = RMW | SHARERS | BLIND
_FULL_WITH_HP = 0xFFFE
"""The most sharers, and HOST_PRIORITY: no number of CPUs does this, but see
:meth:`HpLock.acquire_guest_sh`."""


class HpLock(Cell):
    """A share/exclusive lock with host priority, in a 16-bit word.

    Bit 0 exclusive, bit 1 HOST_PRIORITY, bits 15:2 sharers. A host that fails sets
    HOST_PRIORITY, the next host that succeeds clears it, a release keeps it. A guest that
    finds it set makes way.
    """

    __slots__ = ("word",)

    STATE: ClassVar = Declared(shared="word")

    EX: ClassVar[int] = 1
    HP: ClassVar[int] = 2
    SHARER: ClassVar[int] = 4

    def __init__(self, sim: Simulator) -> None:
        super().__init__(sim)
        self.word = 0

    @property
    def mode(self) -> int:
        """The word, but for strays: failed sharers of an exclusive lock, which its release drops.
        They change nothing, however many there are. Not a step.
        """
        return self.word & 3 if self.word & 1 else self.word

    def in_key(self, read: Contents) -> object:
        return self.mode

    def acquire_sh(self) -> bool:
        """Host acquire shared; on failure the added sharer stays until the release."""
        sim = self.sim
        sim.step(self, _ACQUIRE_SH)
        old = self.word
        self.word = old + 4 & 0xFFFF
        if old & 1:
            sim.step(self, _SET_HP)
            self.word |= 2
        elif old & 2:
            sim.step(self, _SET_HP)
            self.word &= 0xFFFD
            if old == _FULL_WITH_HP:
                raise ModuleFatal(198, f"too many sharers of {self.name}")
        if sim.log is not None:
            sim.log("acq", SHARED, self.name, not old & 1)
        return not old & 1

    def acquire_ex(self) -> bool:
        """Host acquire exclusive: from free, or from free with host priority."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        old = self.word
        ok = old == 0
        if ok:
            self.word = 1
        elif old == 2:
            sim.step(self, RMW)
            ok = self.word == 2
            if ok:
                self.word = 1
        else:
            sim.step(self, _SET_HP)
            self.word |= 2
        if sim.log is not None:
            sim.log("acq", EXCLUSIVE, self.name, ok)
        return ok

    def promote(self) -> bool:
        """Host promote shared to exclusive, as the only sharer."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        old = self.word
        if old & 1 or old == 0:
            raise ModuleFatal(203, f"promote of {self.name}, which is exclusive or free")
        ok = old == 4
        if ok:
            self.word = 1
        elif old == 6:
            sim.step(self, RMW)
            again = self.word
            if again & 1 or again == 0:
                raise ModuleFatal(204, f"promote of {self.name}, which is exclusive or free")
            ok = again == 6
            if ok:
                self.word = 1
        else:
            sim.step(self, _SET_HP)
            self.word |= 2
        if sim.log is not None:
            sim.log("promote", EXCLUSIVE, self.name, ok)
        return ok

    def acquire_guest_sh(self) -> int:
        """Guest acquire shared: takes its sharer back if a host has priority.

        If an exclusive holder's release drops all sharers between the two additions, the
        count goes below zero, which is the most sharers there can be.
        """
        sim = self.sim
        sim.step(self, _ACQUIRE_SH)
        old = self.word
        self.word = old + 4 & 0xFFFF
        result = SUCCESS
        if old & 2:
            sim.step(self, _TAKE_BACK)
            self.word = self.word - 4 & 0xFFFF
            result = OPERAND_BUSY_HOST_PRIORITY
        elif old & 1:
            result = OPERAND_BUSY
        if sim.log is not None:
            sim.log("acq", SHARED, self.name, result == SUCCESS)
        return result

    def acquire_guest_ex(self) -> int:
        """Guest acquire exclusive: from free only, and it marks nothing."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        old = self.word
        result = OPERAND_BUSY
        if old == 0:
            self.word = 1
            result = SUCCESS
        elif old == 2:
            result = OPERAND_BUSY_HOST_PRIORITY
        if sim.log is not None:
            sim.log("acq", EXCLUSIVE, self.name, result == SUCCESS)
        return result

    def release_sh(self) -> None:
        """Release shared."""
        sim = self.sim
        sim.step(self, _RELEASE_SH)
        old = self.word
        self.word = old - 4 & 0xFFFF
        if old & 1 or old < 4:
            raise ModuleFatal(200, f"shared release of {self.name}, which is not held shared")
        if sim.log is not None:
            sim.log("rel", SHARED, self.name, True)

    def release_ex(self) -> None:
        """Release exclusive; keeps host priority, drops stray sharers."""
        sim = self.sim
        sim.step(self, _RELEASE_EX)
        if not self.word & 1:
            raise ModuleFatal(201, f"exclusive release of {self.name}, which is not held so")
        self.word &= 2
        if sim.log is not None:
            sim.log("rel", EXCLUSIVE, self.name, True)

    @property
    def is_held(self) -> bool:
        """Held in any mode, or left with a stray sharer. Not a step: for checks at rest."""
        return bool(self.word & ~2)

    @property
    def host_priority(self) -> bool:
        """HOST_PRIORITY is set. Not a step."""
        return bool(self.word & 2)


class NamedHpLock(HpLock):
    """A host-priority lock that is not part of a table entry."""

    __slots__ = ("_name",)

    STATE: ClassVar = Declared(fixed="_name")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim)
        self._name = name

    @property
    def name(self) -> str:
        return self._name


class SharexLock(NamedCell):
    """A plain share/exclusive lock: bit 0 exclusive, bits 15:1 sharers."""

    __slots__ = ("word",)

    STATE: ClassVar = Declared(shared="word")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.word = 0

    def in_key(self, read: Contents) -> object:
        """The word; while it is held exclusively its sharers are strays, as in :class:`HpLock`."""
        return 1 if self.word & 1 else self.word

    def acquire_sh(self) -> bool:
        """Acquire shared; on failure the added sharer stays until the release."""
        sim = self.sim
        sim.step(self, _ACQUIRE_SH)
        old = self.word
        self.word = old + 2 & 0xFFFF
        if old == 0xFFFE:
            raise ModuleFatal(189, f"too many sharers of {self.name}")
        if sim.log is not None:
            sim.log("acq", SHARED, self.name, not old & 1)
        return not old & 1

    def acquire_ex(self) -> bool:
        """Acquire exclusive, from free only."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        ok = self.word == 0
        if ok:
            self.word = 1
        if sim.log is not None:
            sim.log("acq", EXCLUSIVE, self.name, ok)
        return ok

    def release_sh(self) -> None:
        """Release shared."""
        sim = self.sim
        sim.step(self, _RELEASE_SH)
        old = self.word
        self.word = old - 2 & 0xFFFF
        if old & 1 or old < 2:
            raise ModuleFatal(191, f"shared release of {self.name}, which is not held shared")
        if sim.log is not None:
            sim.log("rel", SHARED, self.name, True)

    def release_ex(self) -> None:
        """Release exclusive; drops stray sharers."""
        sim = self.sim
        sim.step(self, _RELEASE_EX)
        old = self.word
        self.word = 0
        if not old & 1:
            raise ModuleFatal(192, f"exclusive release of {self.name}, which is not held so")
        if sim.log is not None:
            sim.log("rel", EXCLUSIVE, self.name, True)

    @property
    def is_held(self) -> bool:
        """Held in any mode. Not a step."""
        return self.word != 0


class MutexLock(NamedCell):
    """A one-byte mutex."""

    __slots__ = ("word",)

    STATE: ClassVar = Declared(shared="word")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.word = 0

    def acquire(self) -> bool:
        """Acquire, from free only."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        ok = self.word == 0
        self.word = 1
        if sim.log is not None:
            sim.log("acq", "MUTEX", self.name, ok)
        return ok

    def release(self) -> None:
        """Release."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        old = self.word
        self.word = 0
        if old != 1:
            raise ModuleFatal(188, f"release of {self.name}, which is not held")
        if sim.log is not None:
            sim.log("rel", "MUTEX", self.name, True)

    @property
    def is_held(self) -> bool:
        """Held. Not a step."""
        return self.word != 0


class AtomicCount(NamedCell):
    """A counter that changes by a locked add, e.g. PAGE_COUNT and CHLDCNT."""

    __slots__ = ("value",)

    STATE: ClassVar = Declared(shared="value")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.value = 0

    def read(self) -> int:
        """Plain load: one step."""
        self.sim.step(self, READ)
        return self.value

    def xadd(self, n: int) -> int:
        """Add ``n`` in one locked instruction; the value from before."""
        sim = self.sim
        sim.step(self, _EVENT_RMW)
        old = self.value
        self.value = old + n
        if sim.log is not None:
            sim.log("xadd", f"{n:+d}", self.name, True)
        return old
