"""What can end a run besides its programs ending."""

from __future__ import annotations

from attrs import frozen


class HarnessError(Exception):
    """The code under test used the simulator wrongly, or raised: never a finding."""


class StopRun(BaseException):
    """Raised inside a CPU to end the whole run at once.

    A ``BaseException``, so that an ``except Exception`` in the code under test cannot
    swallow it. Raise it through :meth:`Simulator.stop`, which makes all primitives inert
    before the ``finally`` blocks on the way out run.
    """


def stop_from_elsewhere(kind: type[StopRun], message: str, known: dict[str, object]) -> StopRun:
    """What has stopped a run of another process: the message, without CPUs and cells."""
    stop = kind.__new__(kind, message)
    vars(stop).update(known)
    return stop


@frozen
class CodePlace:
    """A line of a function that a CPU is in, by its file's path."""

    file: str
    line: int
    function: str


Standing = tuple[tuple[int, tuple[CodePlace, ...]], ...]
"""For each CPU that could go on: its id, and the functions that it is in, the innermost first."""


class StepBound(StopRun):
    """The run used up its step bound, and did not end when every CPU got its turn either.

    ``standing`` is where the CPUs were.
    """

    def __init__(self, message: str = "", standing: Standing = ()) -> None:
        super().__init__(message)
        self.standing = standing


class Hang(StopRun):
    """No step was made for a long time: the code under test loops without one, or sleeps.

    ``places`` are the functions that it was in, the innermost first.
    """

    def __init__(self, message: str = "", places: tuple[CodePlace, ...] = ()) -> None:
        super().__init__(message)
        self.places = places


class OutOfTime(StopRun):
    """The time that :func:`tdxfuzz.sim.watchdog.time_limit` gave is over."""


class StrayExitError(Exception):
    """The code under test raised ``GreenletExit``, which would have ended its CPU in silence."""
