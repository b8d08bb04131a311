"""What must hold of a library whatever the model says: checks of hostile calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, permutations

from attrs import evolve

from tdxfuzz.targets.library.compare import IN_PROGRAMS, Divergence, call_at, leaf_name
from tdxfuzz.targets.library.held import held_after
from tdxfuzz.targets.library.trial import AT_END, Outcome, State, Trial
from tdxfuzz.targets.recording import CallResult, RecordedCall

LINEARIZABLE = "linearizable"
CHECKS = ("module-fatal", "crash", "hang", "lock-leak", LINEARIZABLE)

ONE_SIDE = "not asked"
"""What a finding has in place of the model's value."""

_TO_THE_END = 80
"""Entries of an order that let any call end."""

_ENDS = {"fatal": "module-fatal", "crash": "crash", "hang": "hang"}


def judge(trial: Trial, outcome: Outcome) -> Divergence | None:
    """What is wrong with a run, if anything: the module died, or a lock stays held."""
    stop = outcome.stop
    if stop is not None:
        leaf = stop.function or leaf_name(_last_call(trial, outcome))
        text = f"{stop.kind}: {stop.text}"
        return _finding(leaf, _ENDS[stop.kind], text, stop.text)
    events = [*chain.from_iterable(outcome.of_calls), *(event for _, event in outcome.events)]
    held = sorted(held_after(events).items())
    if not held:
        return None
    (what, mode), number = held[0]
    kind = f"{what.partition('[')[0]} {mode}"
    how = "stays held" if number > 0 else "was released once too often"
    call = _leaking(trial, outcome, what)
    return _finding(leaf_name(call), "lock-leak", f"{what} {mode} {how}", kind)


def _last_call(trial: Trial, outcome: Outcome) -> RecordedCall:
    """The call that did not come back."""
    if len(outcome.results) < len(trial.calls):
        return trial.calls[len(outcome.results)]
    assert outcome.stop is not None
    return call_at(trial, outcome.stop)


def _leaking(trial: Trial, outcome: Outcome, what: str) -> RecordedCall:
    """The call that left a lock held: alone, or the last one of the LP that used it last."""
    for call, events in zip(trial.calls, outcome.of_calls, strict=False):
        if held_after(events):
            return call
    for lp, calls in trial.programs.items():
        if any(held_after(e for at, e in outcome.events if at == lp)):
            return calls[-1]
    last = max(lp for lp, event in outcome.events if event[2] == what)
    return trial.programs[last][-1]


def judge_serial(
    trial: Trial, outcome: Outcome, serial: dict[tuple[int, ...], Outcome]
) -> Divergence | None:
    """Whether one call on each LP had the effect of some serial order of those that succeeded.

    ``serial`` are the outcomes of the serial orders, by the LPs in their order. Host-priority bits
    are not compared, nor what the library's snapshot lacks.
    """
    done = tuple(lp for (lp, _), result in sorted(outcome.ran.items()) if result.status.ok)
    for order in permutations(done):
        alone = serial.get(order)
        if alone is not None and _answers(alone, done) == _answers(outcome, done):
            same = _state(alone) == _state(outcome)
            if same:
                return None
    if not any(order in serial for order in permutations(done)):
        return None
    names = " and ".join(leaf_name(trial.programs[lp][0]) for lp in sorted(trial.programs))
    text = f"no serial order of those that succeed gives the same: {_texts(outcome)}"
    key = names, LINEARIZABLE, "", ""
    return Divergence(names, LINEARIZABLE, ONE_SIDE, text, key, IN_PROGRAMS)


def serial_outcomes(
    trial: Trial, player: Callable[[Trial], Outcome]
) -> dict[tuple[int, ...], Outcome]:
    """Each subset of the LPs in each order, one after the other; until one does not end well."""
    outcomes: dict[tuple[int, ...], Outcome] = {}
    for order in serial_orders(tuple(trial.programs)):
        programs = {lp: trial.programs[lp] for lp in sorted(order)}
        outcomes[order] = player(evolve(trial, programs=programs, order=one_by_one(order)))
        if outcomes[order].stop is not None:
            break
    return outcomes


def one_by_one(lps: tuple[int, ...]) -> tuple[int, ...]:
    """An order in which each LP goes on to its end."""
    return tuple(lp for each in lps for lp in [each] * _TO_THE_END)


def _answers(outcome: Outcome, lps: Sequence[int]) -> list[CallResult | None]:
    return [outcome.ran.get((lp, 0)) for lp in lps]


def _texts(outcome: Outcome) -> str:
    return ", ".join(f"LP {lp} {_text(result)}" for (lp, _), result in sorted(outcome.ran.items()))


def _text(result: CallResult) -> str:
    return str(result.status)


def _state(outcome: Outcome) -> State:
    state = outcome.states.get(AT_END) or outcome.states[max(outcome.states)]
    return {part: value for part, value in state.items() if part != "hp"}


def _finding(leaf: str, check: str, text: str, kind: str) -> Divergence:
    return Divergence(leaf, check, ONE_SIDE, text, (leaf, check, "", kind), IN_PROGRAMS)


def serial_orders(lps: Sequence[int]) -> list[tuple[int, ...]]:
    """All orders of all subsets of LPs."""
    return [order for n in range(len(lps) + 1) for order in permutations(lps, n)]
