"""Tells a design that keeps state outside of cells: no verdict on it would be worth anything."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from tdxfuzz.abi import Registers
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.run.blame import OURS_BY_NAME, DesignError
from tdxfuzz.run.outside_state import changed, outside_state
from tdxfuzz.sim import Simulator

MOST_TOLD = 3

CLOSE_SESSIONS = 32
"""So many of the first sessions of a design in a process are looked at closely."""

CLOSE_LOOKS = 200
"""Steps of a run before which there is a look: one that spins has no end of them."""

_sessions: WeakKeyDictionary[type[RefcountLayer], int] = WeakKeyDictionary()
"""How many there were of each design."""


class OutsideWatch(HostWatch):
    """Looks at a design when it has been set up, and compares later looks with that one.

    A look costs as much as a short run. So there are looks in and after the first run, the second,
    the fourth, the eighth …. Within these there is one at each SEAMCALL, because a design may put
    back what it has changed before its function returns, as a lock of its own would be. In the
    first sessions of a design there is one at each step while a CPU is in get or put, too. Another
    CPU may see what was changed at any of them, though no search has a reason to try that: the step
    is about something else.

    Args:
        sim: makes the steps.
        layer: has run its ``setup``.
        kvm: what it runs under.
    """

    def __init__(self, sim: Simulator, layer: RefcountLayer, kvm: Kvm) -> None:
        self._sim = sim
        self._layer = layer
        self._kvm = kvm
        self._inside = self._looks = 0
        number = _sessions[type(layer)] = _sessions.get(type(layer), 0) + 1
        self._is_early = number <= CLOSE_SESSIONS
        built_in = all(type(each).__module__.startswith(OURS_BY_NAME) for each in (layer, kvm))
        self._first = None if built_in else outside_state(layer, kvm)
        self._runs = 0
        self._changed: dict[str, None] = {}

    @property
    def is_inert(self) -> bool:
        """Whether there is nothing to look at: the design is built in."""
        return self._first is None

    @property
    def _looks_closely(self) -> bool:
        return self._first is not None and self._runs & (self._runs + 1) == 0

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        if self._looks_closely:
            self._note()

    def entered(self, what: str, pfn: int, holders: int, cached: bool) -> None:
        self._inside += 1
        if self._looks_closely and self._is_early:
            self._sim.at_each_step(self._before_a_step)

    def left(self, what: str, pfn: int) -> None:
        self._inside -= 1
        if not self._inside:
            self._sim.at_each_step(None)

    def after_run(self, found: bool = False) -> None:
        """A run has ended; ``found``: with a finding, so that a look is worth its time.

        Raises:
            DesignError: something outside of cells is not as it was.
        """
        self._runs += 1
        self._inside = self._looks = 0
        self._sim.at_each_step(None)
        if found or self._runs & (self._runs - 1) == 0:
            self.look()

    def look(self) -> None:
        """Compare now.

        Raises:
            DesignError: something outside of cells is not as it was.
        """
        self._note()
        places = list(self._changed)
        if not places:
            return
        is_own_kvm = not type(self._kvm).__module__.startswith(OURS_BY_NAME)
        name, since = f"design {type(self._layer).__name__}", "setup()"
        instead = (
            'Keep it in self.atomic("name"), in self.page_list("name") or in a local variable.'
        )
        if is_own_kvm and type(self._layer).__module__.startswith(OURS_BY_NAME):
            name, since = f"KVM {type(self._kvm).__name__}", "the set-up"
            instead = "Keep it in a local variable: a KVM has no cells of its own."
        more = f" and {len(places) - MOST_TOLD} more" if len(places) > MOST_TOLD else ""
        raise DesignError(
            f"{name} keeps state outside of cells: {', '.join(places[:MOST_TOLD])}{more} "
            f"changed after {since}. CPUs share it without a step, and no run starts afresh. "
            f"{instead}",
            "",
            what="OutsideState",
        )

    def _before_a_step(self) -> None:
        self._looks += 1
        if self._looks > CLOSE_LOOKS:
            self._sim.at_each_step(None)
        else:
            self._note()

    def _note(self) -> None:
        if self._first is not None:
            self._changed |= dict.fromkeys(
                changed(self._first, outside_state(self._layer, self._kvm))
            )
