"""What C code stands on: a layer on a host, with their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.c.image import Image
from tdxfuzz.host.c.machine import PC, machine
from tdxfuzz.host.c.memory import CMemory, Lock
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kernel.lock import Mutex, Rwlock, Rwsem, Spinlock
from tdxfuzz.host.machine import Machine
from tdxfuzz.sim import Declared

SPIN, MUTEX, READ_LOCK, WRITE_LOCK, SLEEPS, TRY = 0, 1, 2, 3, 4, 8
"""How a lock is taken: ``enum tdxc_lock`` of include/tdxfuzz/runtime.h."""


class Ground:
    """One layer in C on one host.

    Args:
        memory: this host's.
        layer: whose code it is.
        host: a machine with the layer.
    """

    STATE: ClassVar = Declared(parts="memory", fixed="host layer")

    def __init__(self, memory: CMemory, layer: RefcountLayer, host: Machine) -> None:
        self.memory = memory
        self.layer = layer
        self.host = host

    @property
    def image(self) -> Image:
        """What is loaded."""
        return self.memory.image

    def here(self) -> str:
        """Where the request was made, as ``file.c:12``."""
        pc = machine().words[PC]
        return self.image.where(pc) if pc else self.image.path.name

    def wrong(self, what: str, text: str, hangs: bool = False) -> CodeError:
        """The error that code made where the request was made; ``what`` is a word for it."""
        function = self.image.function(machine().words[PC])
        return CodeError(f"{self.here()}: {text}", what, function, hangs)

    def call(
        self, function: int, a: int = 0, b: int = 0, page: int = 0, tokens: Sequence[int] = ()
    ) -> int:
        """Call a function of the layer."""
        # A driver of C can; here are those that answer what C asks for, and some of them call C.
        raise NotImplementedError(f"{type(self).__name__} has no call()")

    def lock(self, address: int, how: int = SPIN) -> Lock:
        """The lock at an address, made when it is first asked for, or when memory that was freed
        has another kind of lock in it than before.
        """
        locks = self.memory.locks
        lock = locks.get(address)
        kind = _KINDS[how & 7]
        if lock is None or (type(lock) is not kind and not lock.holders()):
            host, name = self.host, self.image.name(address)
            if lock is not None:
                name = f"{name} ({kind.__name__})"
            lock = host.named(name, kind, lambda: kind(host.sim, name, host.held_locks))
            locks[address] = lock
        return lock


_KINDS: dict[int, type[Spinlock] | type[Mutex] | type[Rwlock]] = {
    SPIN: Spinlock,
    MUTEX: Mutex,
    READ_LOCK: Rwlock,
    WRITE_LOCK: Rwlock,
    READ_LOCK | SLEEPS: Rwsem,
    WRITE_LOCK | SLEEPS: Rwsem,
}
