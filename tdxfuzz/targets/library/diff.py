"""The model against a library: trials at random, and each divergence once, shrunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import chain
from random import Random

from attrs import evolve, frozen

from tdxfuzz.targets.library.compare import (
    IN_PROGRAMS,
    Divergence,
    Key,
    compare,
)
from tdxfuzz.targets.library.draw import Drawer
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.held import held_after
from tdxfuzz.targets.library.known import Known, KnownDivergence
from tdxfuzz.targets.library.leak import needed_before, variables_left
from tdxfuzz.targets.library.model import play
from tdxfuzz.targets.library.process import AGAIN, HASTY, PATIENT, Library
from tdxfuzz.targets.library.shrink import SECONDS, shrink
from tdxfuzz.targets.library.tally import Tally
from tdxfuzz.targets.library.trial import EVERY, Outcome, Trial

MOST = 20
"""Divergences after which it ends: with so many, one cause is behind most of them."""


ENDS = ("crash", "fatal", "hang", "raised")
"""Fields of divergences in which a side did not come back."""


@frozen
class Found:
    """A divergence, the trial that shows it, and what the library did there."""

    divergence: Divergence
    trial: Trial
    library: Outcome
    before: tuple[Trial, ...] = ()
    seconds: float = 0.0
    """From the beginning until it was seen, without shrinking."""

    left: tuple[str, ...] = ()
    """Variables that outlive a reset, if it is about that and they are known."""


class Diff:
    """Runs trials on both sides.

    ``found`` are the divergences so far.
    """

    def __init__(self, library: Library, known: Known, seed: int) -> None:
        self.library = library
        self.known = known
        self.found: list[Found] = []
        self._old: set[Key] = set()
        self.tally = Tally()
        self._seed = seed
        self._next = 0
        self._drawer = Drawer(library.caps)
        self._neutral: dict[Key, bool] = {}
        self._met: set[KnownDivergence] = set()
        self._history: list[int] = []
        self._starts = 0
        self._until: float | None = None
        self._patience = PATIENT
        self._broken: LibraryError | None = None

    def run(
        self,
        cases: int | None,
        seconds: float | None,
        told: Callable[[Found], None],
        progress: Callable[[Tally], None],
    ) -> None:
        """Run trials, or go on, until a bound is reached, or there are too many divergences.

        Raises:
            LibraryError: the library refuses what it is asked.
        """
        began = time.monotonic()
        self._until = None if seconds is None else began + seconds
        begin = self._next
        while (cases is None or self._next - begin < cases) and len(self.found) < MOST:
            if self._until is not None and time.monotonic() >= self._until:
                break
            # A trial of its own generator is the same whatever was found before it.
            self._met.clear()
            found = self._one(Random(f"{self._seed} {self._next}"), began)
            self.tally.met.update(self._met)
            self.tally.seconds = time.monotonic() - began
            self._next += 1
            if found is not None:
                told(found)
            if self._broken is not None:
                raise self._broken
            progress(self.tally)
        self.tally.seconds = time.monotonic() - began

    def _one(self, rng: Random, began: float) -> Found | None:
        start = time.monotonic()
        drawn = self._drawer.draw(rng)
        middle = time.monotonic()
        library = self.library.play(drawn.trial)
        end = time.monotonic()
        first = compare(drawn.trial, drawn.model, library, self._passed(drawn.trial))
        seconds = middle - start, end - middle
        self.tally.count(drawn.trial, drawn.model, library, first, seconds)
        trial = drawn.trial
        if self._starts != self.library.starts:  # another process: nothing has run before
            self._starts, self._history = self.library.starts, []
        before = tuple(self._history)
        self._history.append(self._next)
        if first is None:
            return None
        if self._is_old(first):
            self.tally.hidden += 1
            return None
        if first.field == "hang" and self._patience is HASTY and not self._hangs(trial):
            self.tally.hidden += 1  # the machine was busy, and the rest was not compared
            return None
        try:
            found = self._looked_at(trial, first, before)
        except LibraryError as error:  # what was seen is told as it is
            found, self._broken = Found(first, trial, library), error
        if found is not None:
            found = evolve(found, seconds=end - began)
            self.found.append(found)
        return found

    def _looked_at(self, trial: Trial, first: Divergence, history: tuple[int, ...]) -> Found | None:
        """The cause of a divergence, shrunk; None if that is an old one."""
        closely, divergence, before = self._in_a_fresh_process(trial, first, history)
        if self._is_old(divergence):
            if first.field not in ENDS:
                self.tally.hidden += 1
                self.library.patience = self._patience
                self.library.close()
                return None
            # Whatever lies before it, the library must not end so.
            closely, divergence, before = trial, first, ()
        found = self._shrunk(closely, divergence, before)
        self._old |= {first.key, divergence.key}  # not earlier: what is old may be passed over
        return found

    def _hangs(self, trial: Trial) -> bool:
        """Whether a trial hangs if there is more time."""
        self.library.close()
        self.library.patience = AGAIN
        stop = self.library.play(trial).stop
        self.library.close()
        self.library.patience = self._patience
        return stop is not None and stop.kind == "hang"

    def _is_old(self, divergence: Divergence) -> bool:
        entry = self.known.entry_of(divergence)
        if entry is not None:
            self._met.add(entry)
        return entry is not None or divergence.key in self._old

    def _passed(self, trial: Trial) -> Callable[[Divergence], bool]:
        """Old divergences are passed over if both sides stand in the same state behind them, with
        the same locks held.
        """

        def passed(divergence: Divergence) -> bool:
            if not self._is_old(divergence):
                return False
            if divergence.place == IN_PROGRAMS:
                return True
            if divergence.key not in self._neutral:
                short = Trial(trial.world, trial.calls[: divergence.place + 1], closely=True)
                left, right = _rest(play(short)), _rest(self.library.play(short))
                self._neutral[divergence.key] = self.library.caps.snapshot and left == right
            return self._neutral[divergence.key]

        return passed

    def _in_a_fresh_process(
        self, trial: Trial, first: Divergence, history: tuple[int, ...]
    ) -> tuple[Trial, Divergence, tuple[Trial, ...]]:
        """Look closely, so that the cause is seen and not what follows from it; in a process that
        has run nothing else, or as little as is needed.
        """
        self.library.patience = AGAIN if first.field == "hang" else PATIENT
        closely = evolve(trial, closely=True)
        passed = self._passed(closely)
        seen = self._first_after((), closely, lambda each: _is_before(each, first) and passed(each))
        if seen is not None:
            return closely, seen, ()
        before = needed_before(
            history, self._again, lambda some: self._first_after(some, trial) is not None
        )
        if before:
            leak = evolve(first, leaf="reset", field="reset", key=("reset", "reset", "", ""))
            return trial, leak, before
        # Not seen again, whatever was run before: it does not depend on what it is asked alone.
        return trial, _unrepeated(first), ()

    def _again(self, number: int) -> Trial:
        """A trial of this run, by its number."""
        return self._drawer.draw(Random(f"{self._seed} {number}")).trial

    def _first_after(
        self,
        before: Sequence[Trial],
        trial: Trial,
        passed: Callable[[Divergence], bool] | None = None,
    ) -> Divergence | None:
        """What a trial shows in a fresh process, and behind others."""
        self.library.close()
        for each in before:
            self.library.play(each)
        outcome = self.library.play(trial)
        return compare(trial, play(trial), outcome, passed or self._passed(trial))

    def _shrunk(self, trial: Trial, found: Divergence, before: tuple[Trial, ...]) -> Found:
        if found.field == "hang":
            # Each try would take seconds, and so would each later sequence that meets it again.
            self._patience = self.library.patience = HASTY
        try:
            if found.field == "reset":
                return self._shrunk_leak(trial, found, before)
            if found.field == "repeat":
                return self._not_repeated(trial, found)
            self.library.close()
            small = self._shrink(trial, lambda each: self._sees(each, found.key) is not None)
            self.library.close()
            self.library.patience = AGAIN if found.field == "hang" else PATIENT
            seen = self._sees(small, found.key)
            if seen is None and found.field == "hang":  # a machine that is busy looks like one
                small, seen = trial, self._sees(trial, found.key)
            if seen is None:
                return self._not_repeated(trial, found)
            return Found(seen[0], small, seen[1], before)
        finally:
            self.library.patience = self._patience
            self.library.close()

    def _not_repeated(self, trial: Trial, found: Divergence) -> Found:
        """It does not show each time that the same calls are made."""
        return Found(_unrepeated(found), trial, self.library.play(trial))

    def _shrunk_leak(self, trial: Trial, found: Divergence, before: tuple[Trial, ...]) -> Found:
        """The library keeps something over a reset: any divergence will do."""
        small = self._shrink(trial, lambda each: self._first_after(before, each) is not None)
        if len(before) == 1:
            first = self._shrink(
                before[0], lambda each: self._first_after((each,), small) is not None
            )
            before = (first,)
        seen = self._first_after(before, small)
        if seen is None:
            return self._not_repeated(trial, found)
        named = evolve(
            seen,
            leaf=found.leaf,
            field=found.field,
            model=f"{seen.leaf}, {seen.field}: {seen.model}",
            library=f"{seen.leaf}, {seen.field}: {seen.library}",
            key=found.key,
        )
        left = variables_left(self.library, before, small)
        return Found(named, small, self.library.play(small), before, left=left)

    def _sees(self, trial: Trial, key: Key) -> tuple[Divergence, Outcome] | None:
        """The divergence of a key, if it is the first one that a trial shows."""
        library = self.library.play(trial)
        found = compare(trial, play(trial), library, lambda other: other.key != key)
        return None if found is None or found.key != key else (found, library)

    def _shrink(self, trial: Trial, shows: Callable[[Trial], bool]) -> Trial:
        """Within the time that is left, but for a second at least. A hang makes each try slow, and
        is told in time rather than small.
        """
        most = SECONDS / 2 if self.library.patience is HASTY else SECONDS
        left = SECONDS if self._until is None else self._until - time.monotonic()
        return shrink(trial, shows, min(most, max(1.0, left)))


def _unrepeated(found: Divergence) -> Divergence:
    return evolve(found, field="repeat", key=(found.leaf, "repeat", "", ""))


def _is_before(one: Divergence, other: Divergence) -> bool:
    """Whether one can be no cause of the other: it lies before it, and more calls before it than
    there are between two snapshots.
    """
    if IN_PROGRAMS in (one.place, other.place):
        return one.place != IN_PROGRAMS
    return one.place < other.place - (EVERY if other.field.startswith("state.") else 0)


def _rest(outcome: Outcome) -> tuple[object, ...]:
    """What stays behind the last call: the state, locks that are held, the end of the module."""
    events = chain.from_iterable(outcome.of_calls)
    return outcome.states.get(len(outcome.results)), held_after(events), outcome.stop
