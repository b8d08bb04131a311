"""Hostile calls on a library alone: in random orders, and pairs in all orders of few switches.

The model only says which calls are worth making. What is wrong is judged by what the library does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from random import Random

from attrs import define, evolve, field

from tdxfuzz.abi import BY_NAME, Registers, Status
from tdxfuzz.case.hostile import SETUPS, setup_ops
from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.case.operation import Op
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.host import operations
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.module.platform import Platform
from tdxfuzz.repro.words import counted
from tdxfuzz.run.session import Session
from tdxfuzz.targets.library.boot import boot_calls, plain_plan
from tdxfuzz.targets.library.compare import Divergence, Key, leaf_name
from tdxfuzz.targets.library.diff import Found
from tdxfuzz.targets.library.draw import Drawer, draw_order
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.judge import judge, judge_serial, one_by_one, serial_outcomes
from tdxfuzz.targets.library.process import HASTY, PATIENT, Library
from tdxfuzz.targets.library.shrink import shrink
from tdxfuzz.targets.library.trial import Outcome, Trial
from tdxfuzz.targets.recording import COMPARED, RecordedCall
from tdxfuzz.verify.hostile_pairs import MOST_CALLS, overlaps

ORDERS = 6
"""Orders in which a hunt runs the same programs."""

Judge = Callable[[Trial, Outcome], Divergence | None]


@define
class HostileTally:
    """What was done so far.

    ``met`` counts where calls could get in each other's way, because on two LPs at least a call
    succeeded and had an event: of a hunt runs, of a sweep cases (each of their calls does so
    alone). ``succeeded`` are calls of the programs. ``refused`` has what calls answered that did
    not succeed, and how often: in a sweep those of the set-up, and each one alone.
    """

    cases: int = 0
    runs: int = 0
    calls: int = 0
    events: int = 0
    met: int = 0
    succeeded: int = 0
    refused: Counter[str] = field(factory=Counter)
    seconds: float = 0.0

    def too_little_of_a_hunt(self) -> str:
        """Why a hunt without a finding says nothing; empty if it says something."""
        return "" if self.met else self._nothing_met("no run")

    def too_little_of_a_sweep(self) -> str:
        """Why a sweep without a finding says nothing; empty if it says something.

        The model says that all calls of a sweep succeed. So half of the cases must meet.
        """
        if not self.cases:
            return "the library lacks leaves of every case"
        if 2 * self.met >= self.cases:
            return ""
        return self._nothing_met(f"{self.met or 'none'} of {counted(self.cases, 'case')}")

    def _nothing_met(self, where: str) -> str:
        if self.succeeded and not self.events:
            return "calls succeeded, but the hook was told of no event"
        why = "no call of the programs succeeded"
        if self.succeeded:
            why = f"calls of two LPs that succeed and have events were in {where}"
        often = "".join(
            f"; most often {text} ({counted(times, 'time')})"
            for text, times in self.refused.most_common(1)
        )
        return f"{why}{often}"


@define
class LibraryHunter:
    """Runs trials on a library; each finding once, shrunk."""

    library: Library
    tally: HostileTally = field(factory=HostileTally)
    found: dict[Key, Found] = field(factory=dict)
    _began: float = field(factory=lambda: time.monotonic())

    def __attrs_post_init__(self) -> None:
        if not self.library.caps.hook:
            raise LibraryError(
                "hostile calls overlap, and need TDXT_HAS_HOOK, which the library lacks"
            )

    def hunt(
        self,
        seed: int,
        cases: int | None,
        seconds: float | None,
        told: Callable[[Found], None],
    ) -> None:
        """Random programs in random orders, until a bound is reached."""
        drawer = Drawer(self.library.caps, interleaved=1.0)
        while cases is None or self.tally.cases < cases:
            if self._is_over(seconds):
                break
            rng = Random(f"{seed} {self.tally.cases}")
            trial = evolve(drawer.draw(rng).trial, closely=True)
            for _ in range(ORDERS):
                self._note_hunted(trial, self.run(trial, judge, told))
                if not trial.programs:
                    break
                trial = evolve(trial, order=draw_order(rng, len(trial.programs)))
            self.tally.cases += 1

    def sweep(
        self, setup: str, lps: int, seconds: float | None, told: Callable[[Found], None]
    ) -> bool:
        """Pairs or triples of calls that succeed after a set-up, in all orders of few switches;
        whether all were run in time.
        """
        before = calls_of_setup(setup)
        for case in overlaps(setup, lps):
            calls = [recorded(program[0], lp) for lp, program in enumerate(case.programs)]
            if any(call.leaf not in self.library.caps.leaves for call in calls):
                continue
            if self._is_over(seconds):
                return False
            programs = {lp: (call,) for lp, call in enumerate(calls)}
            self._all_orders(evolve(before, programs=programs), told)
            self.tally.cases += 1
        return True

    def run(self, trial: Trial, judged: Judge, told: Callable[[Found], None]) -> Outcome:
        """One run, judged; a new finding is shrunk."""
        outcome = self.library.play(trial)
        self.tally.runs += 1
        self.tally.calls += trial.size
        self.tally.events += len(outcome.events)
        self.tally.succeeded += sum(result.status.ok for result in outcome.ran.values())
        self.tally.seconds = time.monotonic() - self._began
        finding = judged(trial, outcome)
        if finding is not None and finding.key not in self.found:
            try:
                self.found[finding.key] = self._shrunk(trial, finding, judged)
            except LibraryError:  # what was seen is told as it is
                told(Found(finding, trial, outcome, seconds=self.tally.seconds))
                raise
            told(self.found[finding.key])
        return outcome

    def _all_orders(self, trial: Trial, told: Callable[[Found], None]) -> None:
        """First i events of one, j of another, and then each to its end; both ways."""
        lps = tuple(trial.programs)
        serial = serial_outcomes(trial, lambda each: self.run(each, judge, told))
        self._note_swept(trial, serial)
        if any(outcome.stop is not None for outcome in serial.values()):
            return
        events = {lp: len(serial[lp,].events) for lp in lps}
        judged = partial(_judge_both, serial=serial)
        for first in lps:
            for second in (lp for lp in lps if lp != first):
                rest = [lp for lp in lps if lp not in (first, second)]
                for i in range(1, events[first] + 1):
                    for j in range(1, events[second] + 1):
                        turns = (*[first] * i, *[second] * j)
                        then = one_by_one((first, second, *rest))
                        self.run(evolve(trial, order=(*turns, *then)), judged, told)

    def _note_hunted(self, trial: Trial, outcome: Outcome) -> None:
        self.tally.met += len(_lps_at_work(outcome)) > 1
        self._note_refused(trial, outcome)

    def _note_swept(self, trial: Trial, serial: Mapping[tuple[int, ...], Outcome]) -> None:
        """Whether the set-up succeeds, and each call alone, with an event."""
        alone = [serial[lps] for lps in serial if len(lps) < 2]
        for outcome in alone:
            self._note_refused(trial, outcome)
        set_up = all(result.status.ok for result in serial[()].results)
        at_work = set().union(*map(_lps_at_work, alone))
        self.tally.met += set_up and at_work == trial.programs.keys()

    def _note_refused(self, trial: Trial, outcome: Outcome) -> None:
        of_programs = ((trial.programs[lp][i], result) for (lp, i), result in outcome.ran.items())
        for call, result in (*zip(trial.calls, outcome.results, strict=False), *of_programs):
            if not result.status.ok:
                self.tally.refused[f"{leaf_name(call)} answered {result.status}"] += 1

    def _shrunk(self, trial: Trial, finding: Divergence, judged: Judge) -> Found:
        seconds = time.monotonic() - self._began
        shortens = finding.field != "linearizable"  # its serial orders belong to the whole trial

        def shows(each: Trial) -> bool:
            found = judged(each, self.library.play(each))
            return found is not None and found.key == finding.key

        if finding.field == "hang":
            self.library.patience = HASTY
        try:
            self.library.close()
            small = shrink(trial, shows) if shortens and shows(trial) else trial
            outcome = self.library.play(small)
            return Found(judged(small, outcome) or finding, small, outcome, seconds=seconds)
        finally:
            # Each later run that meets a known hang would take seconds.
            known_hang = any(key[1] == "hang" for key in [*self.found, finding.key])
            self.library.patience = HASTY if known_hang else PATIENT
            self.library.close()

    def _is_over(self, seconds: float | None) -> bool:
        return seconds is not None and time.monotonic() - self._began >= seconds


def _lps_at_work(outcome: Outcome) -> set[int]:
    """LPs on which a call of the programs succeeded, and that had an event."""
    succeeded = {lp for (lp, _), result in outcome.ran.items() if result.status.ok}
    return succeeded & {lp for lp, _ in outcome.events}


def _judge_both(
    trial: Trial, outcome: Outcome, serial: dict[tuple[int, ...], Outcome]
) -> Divergence | None:
    return judge(trial, outcome) or judge_serial(trial, outcome, serial)


class _Recorder(HostWatch):
    """Notes the SEAMCALLs that a host makes."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        inputs = {name: getattr(regs, name) for name in COMPARED if getattr(regs, name)}
        name = next(each.identifier for each in BY_NAME.values() if each.number == leaf)
        self.calls.append(RecordedCall(leaf, name, version, inputs, False, None, {}, 0))

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        if not status.ok:
            self.calls.pop()  # what is refused changes nothing


def calls_of_setup(name: str) -> Trial:
    """The SEAMCALLs from reset on that a set-up of ``verify hostile`` makes, in its world."""
    plan = plain_plan(Platform(), MOST_CALLS, TDMR_BASE)
    host = Session(hostile_case("bare", 1, ((),))).host
    recorder = _Recorder()
    host.watch = recorder
    for op in setup_ops(name):
        operations.run(host, op)
    return Trial(plan.world, (*boot_calls(plan), *recorder.calls))


def possible_setups(library: Library) -> Iterator[str]:
    """The set-ups of ``verify hostile`` for which a library has all leaves."""
    for name in SETUPS:
        if all(call.leaf in library.caps.leaves for call in calls_of_setup(name).calls):
            yield name


def recorded(op: Op, lp: int) -> RecordedCall:
    """A SEAMCALL of a program."""
    inputs = {name: value for name, value in op.arguments if name != "version"}
    leaf = BY_NAME[op.name]
    version = dict(op.arguments).get("version", 0)
    return RecordedCall(leaf.number, leaf.identifier, version, inputs, False, None, {}, lp)
