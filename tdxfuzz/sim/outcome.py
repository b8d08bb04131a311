"""How a run ended, as far as the simulator can say."""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from tdxfuzz.sim.deadlock import Deadlock
from tdxfuzz.sim.errors import StepBound
from tdxfuzz.sim.livelock import Livelock


class End(Enum):
    """How a run ended."""

    REST = "rest"
    STOPPED = "stopped"
    DEADLOCK = "deadlock"
    LIVELOCK = "livelock"
    BOUND = "bound"


_END = {
    type(None): End.REST,
    Deadlock: End.DEADLOCK,
    Livelock: End.LIVELOCK,
    StepBound: End.BOUND,
}


@frozen
class Outcome:
    """What the simulator itself can say about a finished run.

    ``switches`` are all changes of CPU as (step, CPU) pairs; ``steps`` counts the
    steps performed while the programs ran.
    """

    end: End
    steps: int
    switches: tuple[tuple[int, int], ...]
    bound: StepBound | None = field(default=None, eq=str)
    deadlock: Deadlock | None = field(default=None, eq=str)
    livelock: Livelock | None = field(default=None, eq=str)

    @classmethod
    def after(
        cls, reason: BaseException | None, steps: int, switches: tuple[tuple[int, int], ...]
    ) -> Outcome:
        """The outcome of a run that was ended by ``reason``; None: its programs ended."""
        if reason is not None:
            # Its frames hold the outcome, which holds it: all would wait for a full collection.
            reason.__traceback__ = None
        return cls(
            _END.get(type(reason), End.STOPPED),
            steps,
            switches,
            bound=reason if isinstance(reason, StepBound) else None,
            deadlock=reason if isinstance(reason, Deadlock) else None,
            livelock=reason if isinstance(reason, Livelock) else None,
        )
