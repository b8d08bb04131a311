"""``refcount_t``: a count of references that warns, and sticks, where an ``atomic_t`` would wrap.

Source: include/linux/refcount.h and lib/refcount.c (v6.19).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.sim import RMW, Declared

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator

SATURATED = -(1 << 30)
"""``REFCOUNT_SATURATED``: half of the way from 0 to the smallest number."""


class RefcountT(AtomicT):
    """A ``refcount_t``. What would free an object too early saturates it instead, with a WARN: it
    is never freed then.

    Args:
        sim: the simulator.
        name: for traces.
        value: what it starts with.
        warn: is told what a WARN says.
    """

    __slots__ = ("_warn",)

    STATE: ClassVar = Declared(fixed="_warn")

    def __init__(self, sim: Simulator, name: str, value: int, warn: Callable[[str], None]) -> None:
        super().__init__(sim, name, value)
        self._warn = warn

    def add(self, n: int) -> None:
        """``refcount_add``: a WARN if there was no reference."""
        self.sim.step(self, RMW)
        old = self.value
        new = self._put(old + n)
        if old == 0:
            self._saturate("addition on 0; use-after-free")
        elif old < 0 or new < 0:
            self._saturate("saturated; leaking memory")
        self._done(f"add {n}", self.value, self.value)

    def dec(self) -> None:
        """``refcount_dec``: a WARN if that was the last reference."""
        self.sim.step(self, RMW)
        old = self.value
        self._put(old - 1)
        if old <= 1:
            self._saturate("decrement hit 0; leaking memory")
        self._done("dec", self.value, self.value)

    def inc_not_zero(self) -> bool:
        """``refcount_inc_not_zero``: increment unless 0; whether it did."""
        self.sim.step(self, RMW)
        old = self.value
        if old != 0:
            new = self._put(old + 1)
            if old < 0 or new < 0:
                self._saturate("saturated; leaking memory")
        return self._done("inc_not_zero", old != 0, self.value)

    def dec_and_test(self) -> bool:
        """``refcount_dec_and_test``: whether the last reference is gone."""
        self.sim.step(self, RMW)
        old = self.value
        new = self._put(old - 1)
        if old <= 0:
            self._saturate("underflow; use-after-free")
        return self._done("dec_and_test", old == 1, new if old > 0 else self.value)

    def _saturate(self, why: str) -> None:
        self._put(SATURATED)
        self._warn(f"refcount_t: {why}")
