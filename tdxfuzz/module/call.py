"""One SEAMCALL in flight, and the logical processor it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers
    from tdxfuzz.module.leaves.td_call import Guest
    from tdxfuzz.module.td import Tdr, Tdvps


class LogicalProcessor:
    """What the module knows of the CPU it was called on.

    ``interrupt_pending`` is read by the leaves that can be interrupted. ``tsc`` is its
    time-stamp counter, in ticks; it stands still unless somebody moves it. ``guest`` is
    what a vCPU does that is entered here: called on each entry, it returns the basic
    reason of its exit; with None it exits at once, as for an external interrupt.
    """

    __slots__ = ("guest", "id", "interrupt_pending", "package", "tsc")

    STATE: ClassVar = Declared(shared="interrupt_pending tsc", fixed="guest id package")

    def __init__(self, lp_id: int, package: int = 0) -> None:
        self.id = lp_id
        self.package = package
        self.interrupt_pending = False
        self.tsc = 0
        self.guest: Callable[[Guest], int] | None = None


class Call:
    """Registers in and out, and what the call has to release when it ends.

    A leaf notes each release as soon as it has acquired. The exit path runs them last
    in, first out; the few that the source releases before all others are moved to the
    front of that order with :meth:`release_first`.
    """

    __slots__ = ("_first", "held", "leaf", "lp", "regs", "version")

    def __init__(self, leaf: int, version: int, lp: LogicalProcessor, regs: Registers) -> None:
        self.leaf = leaf
        self.version = version
        self.lp = lp
        self.regs = regs
        self.held: list[Callable[[], None]] = []
        self._first: Callable[[], None] | None = None

    def hold(self, release: Callable[[], None]) -> None:
        """Release this on exit, before everything held so far."""
        self.held.append(release)

    def release_first(self) -> None:
        """What was held last is to be released before anything held later."""
        self._first = self.held.pop()

    def release_after(self, first: int) -> None:
        """What was held last is to be released after all that is held from place ``first`` on."""
        self.held.insert(first, self.held.pop())

    def let_go(self) -> None:
        """Release now what was held last."""
        self.held.pop()()

    def forget(self, release: Callable[[], None]) -> None:
        """Something else has released it already."""
        if self._first == release:
            self._first = None
        else:
            self.held.remove(release)

    def unwind(self) -> None:
        """The exit path."""
        if self._first is not None:
            self._first()
        held = self.held
        while held:
            held.pop()()


class GuestCall(Call):
    """One TDCALL in flight: a call of the vCPU that runs on the processor.

    ``interrupted``: it gave up halfway for an interrupt, and the guest will repeat it.
    """

    __slots__ = ("interrupted", "tdr", "tdvps")

    def __init__(
        self,
        leaf: int,
        version: int,
        lp: LogicalProcessor,
        regs: Registers,
        tdr: Tdr,
        tdvps: Tdvps,
    ) -> None:
        super().__init__(leaf, version, lp, regs)
        self.tdr = tdr
        self.tdvps = tdvps
        self.interrupted = False
