"""The model's side of a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve

from tdxfuzz.module.errors import LeafNotModelledError
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.targets.drive import EventOrder
from tdxfuzz.targets.interleaved import drive
from tdxfuzz.targets.library.trial import AT_END, Outcome, State, Stop, Trial, tidy
from tdxfuzz.targets.recording import CallResult, LockEvent, RecordedCall
from tdxfuzz.targets.world import AtReset

T = TypeVar("T")


class ModelSide:
    """The model, call by call, so that what comes next can depend on where it stands."""

    def __init__(self, world: AtReset, cpus: int, closely: bool = False) -> None:
        self.bench = world.build(cpus)
        self._of_calls: list[tuple[LockEvent, ...]] = []
        self._closely = closely
        self.results: list[CallResult] = []
        self.states: dict[int, State] = {0: self._state()}
        self.stop: Stop | None = None

    def call(self, call: RecordedCall) -> CallResult | None:
        """Make a call; None if it did not come back."""
        events: list[LockEvent] = []
        if self._closely:
            self.bench.sim.log = lambda *event: events.append(event)
        result = self._guarded(lambda: call.on(self.bench), call.cpu)
        self.bench.sim.log = None
        self._of_calls.append(tuple(events))
        if result is None:
            return None
        dead = self.bench.module.dead
        if dead is not None:
            self.stop = Stop("fatal", str(dead.fatal_id), call.cpu)
            return None
        self.results.append(result)
        return result

    def events_of(self, place: int) -> list[LockEvent]:
        """The events of a call, by its place, if the model was looked at closely."""
        return list(self._of_calls[place])

    def look(self) -> None:
        """Take a snapshot."""
        if self.stop is None:
            self.states[len(self.results)] = self._state()

    def end(
        self, programs: Mapping[int, tuple[RecordedCall, ...]], order: Sequence[int]
    ) -> Outcome:
        """Run the programs, if there are any; all that was done."""
        if len(self.results) not in self.states:
            self.look()
        done = Outcome(
            tuple(self.results), self.states, stop=self.stop, of_calls=tuple(self._of_calls)
        )
        if self.stop is not None or not programs:
            return done
        policy = EventOrder(order, early=True)
        driven = self._guarded(lambda: drive(self.bench, programs, policy), min(programs))
        if driven is None:
            return evolve(done, stop=self.stop)
        if driven.fatal is None:
            self.states[AT_END] = self._state()
        else:
            lp, number = driven.fatal
            self.stop = Stop("fatal", str(number), lp)
        return evolve(
            done,
            events=tuple(driven.events),
            ran=driven.results,
            stop=self.stop,
            within=tuple(driven.within),
        )

    def _guarded(self, what: Callable[[], T], lp: int) -> T | None:
        """An exception of the model ends the trial, not the tool."""
        try:
            return what()
        except LeafNotModelledError:
            raise
        except Exception as error:
            self.stop = Stop("raised", f"{type(error).__name__}: {error}", lp)
            return None

    def _state(self) -> State:
        return tidy(dict(snapshot(self.bench.module)))


def play(trial: Trial) -> Outcome:
    """Run a trial on the model.

    Raises:
        LeafNotModelledError: it calls a leaf that the model lacks.
    """
    side = ModelSide(trial.world, max(trial.programs, default=0) + 1, trial.closely)
    places = set(trial.places)
    for i, call in enumerate(trial.calls):
        if i in places:
            side.look()
        if side.call(call) is None:
            break
    return side.end(trial.programs, trial.order)
