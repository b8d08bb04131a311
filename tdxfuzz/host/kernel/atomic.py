"""``atomic_t`` and ``atomic64_t``: every operation is one step, as one locked instruction (or one
plain move). Both are signed and wrap at their width, as the kernel's do.

Operations that the kernel builds from a compare-and-exchange loop (``inc_not_zero``,
``add_unless``) take effect at one instant and are one step too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from tdxfuzz.sim import READ, RMW, WRITE, Declared, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator

R = TypeVar("R", int, bool)


class AtomicT(NamedCell):
    """A shared integer of 32 bits with the kernel's atomic operations.

    What is stored, compared and given back is cut to the width: 2**31 - 1 and one more are -2**31.
    """

    __slots__ = ("value",)

    STATE: ClassVar = Declared(shared="value")

    BITS: ClassVar[int] = 32

    def __init__(self, sim: Simulator, name: str, value: int = 0) -> None:
        super().__init__(sim, name)
        self.value = self.cut(value)

    @classmethod
    def cut(cls, value: int) -> int:
        """What is left of a number in so many bits, the highest of which is the sign."""
        half = 1 << cls.BITS - 1
        return value if -half <= value < half else (value + half) % (2 * half) - half

    def read(self) -> int:
        """``atomic_read``."""
        self.sim.step(self, READ)
        return self._done("read", self.value, self.value)

    def set(self, value: int) -> None:
        """``atomic_set``."""
        self.sim.step(self, WRITE)
        value = self._put(value)
        self._done("set", value, value)

    def add(self, n: int) -> None:
        """``atomic_add``."""
        self.sim.step(self, RMW)
        new = self._put(self.value + n)
        self._done(f"add {n}", new, new)

    def inc(self) -> None:
        """``atomic_inc``."""
        self.add(1)

    def dec(self) -> None:
        """``atomic_dec``."""
        self.add(-1)

    def add_return(self, n: int) -> int:
        """``atomic_add_return``: the new value."""
        self.sim.step(self, RMW)
        new = self._put(self.value + n)
        return self._done(f"add_return {n}", new, new)

    def inc_return(self) -> int:
        """``atomic_inc_return``."""
        return self.add_return(1)

    def dec_return(self) -> int:
        """``atomic_dec_return``."""
        return self.add_return(-1)

    def dec_and_test(self) -> bool:
        """``atomic_dec_and_test``: whether the new value is 0."""
        self.sim.step(self, RMW)
        new = self._put(self.value - 1)
        return self._done("dec_and_test", new == 0, new)

    def inc_and_test(self) -> bool:
        """``atomic_inc_and_test``: whether the new value is 0."""
        self.sim.step(self, RMW)
        new = self._put(self.value + 1)
        return self._done("inc_and_test", new == 0, new)

    def add_unless(self, n: int, unless: int) -> bool:
        """``atomic_add_unless``: add unless the value is ``unless``; whether it did."""
        self.sim.step(self, RMW)
        did = self.value != self.cut(unless)
        new = self._put(self.value + n) if did else self.value
        return self._done(f"add_unless {n} {unless}", did, new)

    def inc_not_zero(self) -> bool:
        """``atomic_inc_not_zero``: increment unless 0; whether it did."""
        self.sim.step(self, RMW)
        did = self.value != 0
        new = self._put(self.value + 1) if did else self.value
        return self._done("inc_not_zero", did, new)

    def inc_unless_negative(self) -> bool:
        """``atomic_inc_unless_negative``: increment unless below 0; whether it did."""
        self.sim.step(self, RMW)
        did = self.value >= 0
        new = self._put(self.value + 1) if did else self.value
        return self._done("inc_unless_negative", did, new)

    def dec_if_positive(self) -> int:
        """``atomic_dec_if_positive``: decrement unless that goes below 0; old value - 1."""
        self.sim.step(self, RMW)
        result = self.cut(self.value - 1)
        new = self._put(result) if result >= 0 else self.value
        return self._done("dec_if_positive", result, new)

    def cmpxchg(self, old: int, new: int) -> int:
        """``atomic_cmpxchg``: store ``new`` if the value is ``old``; the value from before."""
        self.sim.step(self, RMW)
        before = self.value
        if before == self.cut(old):
            self._put(new)
        return self._done(f"cmpxchg {old} {new}", before, self.value)

    def xchg(self, new: int) -> int:
        """``atomic_xchg``: the value from before."""
        self.sim.step(self, RMW)
        before = self.value
        return self._done(f"xchg {new}", before, self._put(new))

    def _put(self, value: int) -> int:
        """Store a number; what is left of it."""
        self.value = self.cut(value)
        return self.value

    def _done(self, what: str, result: R, new: int) -> R:
        """Record the operation if this run is traced; give back its result."""
        if self.sim.trace is not None:
            self.sim.record(self.sim.clock - 1, "atomic", self.name, what, result, new)
        return result


class Atomic64T(AtomicT):
    """The same with 64 bits."""

    __slots__ = ()

    BITS = 64
