"""A smaller trial that shows the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import TypeVar

from attrs import define, evolve

from tdxfuzz.targets.guest import GuestScript
from tdxfuzz.targets.library.trial import Trial
from tdxfuzz.targets.recording import RecordedCall

SECONDS = 15.0

Shows = Callable[[Trial], bool]
Calls = tuple[RecordedCall, ...]
T = TypeVar("T")

_TDMR_INIT = 36


def shrink(trial: Trial, shows: Shows, seconds: float = SECONDS) -> Trial:
    """Leave out, and make simpler, what can be without losing what ``shows`` sees.

    Calls go in pieces of half their number, then of a quarter, and so on; then single registers,
    interrupts, and entries of the order. It begins anew until nothing more goes, or the time is
    over.
    """
    work = _Work(trial, shows, time.monotonic() + seconds)
    before = None
    while work.trial != before and not work.is_over:
        before = work.trial
        work.drop_programs()
        work.drop_calls()
        work.drop_from_programs()
        work.shorten_order()
        work.simplify()
    return work.trial


@define
class _Work:
    """The smallest trial so far, and until when there is time."""

    trial: Trial
    shows: Shows
    until: float

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    def take(self, candidate: Trial) -> bool:
        """Go on from a candidate, if it shows the same."""
        if self.is_over or candidate == self.trial or not self.shows(candidate):
            return False
        self.trial = candidate
        return True

    def drop_programs(self) -> None:
        if self.trial.programs:
            self.take(evolve(self.trial, programs={}, order=()))
        for lp in tuple(self.trial.programs):
            rest = {k: calls for k, calls in self.trial.programs.items() if k != lp}
            if rest:
                self.take(_with_programs(self.trial, rest))

    def drop_calls(self) -> None:
        def take(units: tuple[Calls, ...]) -> bool:
            return self.take(evolve(self.trial, calls=tuple(chain.from_iterable(units))))

        _drop(_units(self.trial.calls), take)

    def drop_from_programs(self) -> None:
        for lp, calls in tuple(self.trial.programs.items()):

            def take(rest: Calls, lp: int = lp) -> bool:
                return bool(rest) and self.take(
                    _with_programs(self.trial, {**self.trial.programs, lp: rest})
                )

            _drop(calls, take)

    def shorten_order(self) -> None:
        _drop(self.trial.order, lambda rest: self.take(evolve(self.trial, order=rest)))

    def simplify(self) -> None:
        for i in range(len(self.trial.calls)):
            for change in _changes(self.trial.calls[i]):
                calls = self.trial.calls
                self.take(evolve(self.trial, calls=(*calls[:i], change(calls[i]), *calls[i + 1 :])))
        for lp, program in tuple(self.trial.programs.items()):
            for i in range(len(program)):
                for change in _changes(program[i], moves=False):
                    calls = self.trial.programs[lp]
                    changed = (*calls[:i], change(calls[i]), *calls[i + 1 :])
                    self.take(evolve(self.trial, programs={**self.trial.programs, lp: changed}))


def _drop(items: tuple[T, ...], take: Callable[[tuple[T, ...]], bool]) -> None:
    """Leave out pieces, the largest first, from the end."""
    size = len(items)
    while size:
        end = len(items)
        while end > 0:
            begin = max(end - size, 0)
            rest = items[:begin] + items[end:]
            if take(rest):
                items = rest
            end = begin
        size //= 2


def _units(calls: Calls) -> tuple[Calls, ...]:
    """Calls that go together: a TDMR is of use only when all of a gigabyte is initialised."""
    units: list[Calls] = []
    for call in calls:
        if units and call.leaf == _TDMR_INIT == units[-1][-1].leaf:
            units[-1] = (*units[-1], call)
        else:
            units.append((call,))
    return tuple(units)


def _with_programs(trial: Trial, programs: Mapping[int, Calls]) -> Trial:
    return evolve(trial, programs=programs, order=tuple(i for i in trial.order if i in programs))


def _changes(
    call: RecordedCall, moves: bool = True
) -> Iterator[Callable[[RecordedCall], RecordedCall]]:
    """How a call may become simpler."""
    if call.interrupted:
        yield lambda it: evolve(it, interrupted=False)
    if call.tsc is not None:
        yield lambda it: evolve(it, tsc=None)
    if call.guest is not None:
        yield lambda it: evolve(it, guest=None)
        for i in reversed(range(len(call.guest.operations))):
            yield partial(_without_step, i)
    if call.version:
        yield lambda it: evolve(it, version=0)
    if call.cpu and moves:
        yield lambda it: evolve(it, cpu=0)
    for name in call.inputs:
        yield partial(_without, name)


def _without_step(i: int, call: RecordedCall) -> RecordedCall:
    """A call whose guest does less, if it still does so much."""
    if call.guest is None or i >= len(call.guest.operations):
        return call
    operations = call.guest.operations
    return evolve(call, guest=GuestScript((*operations[:i], *operations[i + 1 :])))


def _without(name: str, call: RecordedCall) -> RecordedCall:
    """A call whose register is 0."""
    return evolve(call, inputs={k: value for k, value in call.inputs.items() if k != name})
