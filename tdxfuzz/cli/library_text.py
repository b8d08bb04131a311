"""What commands that run a library share: the option, and how a trial is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from tdxfuzz.module.snapshot import PARTS
from tdxfuzz.repro.words import counted
from tdxfuzz.targets.count import event_text
from tdxfuzz.targets.library.caps import Caps
from tdxfuzz.targets.library.compare import Divergence, leaf_name
from tdxfuzz.targets.library.judge import ONE_SIDE
from tdxfuzz.targets.library.trial import Outcome, Trial
from tdxfuzz.targets.recording import CallResult, RecordedCall

F = TypeVar("F", bound=Callable[..., object])

MOST_NUMBERS = 6
"""Numbers that are told of many."""

MOST_EVENTS = 40
"""Events that are shown of an interleaved trial: the last ones."""


def library_option(command: F) -> F:
    """``--library PATH``, which is needed."""
    return click.option(
        "--library",
        required=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="Shared library that implements tdxfuzz_target.h (docs/targets.md).",
    )(command)


def not_compared(caps: Caps, missing: Sequence[str], parts: Collection[str]) -> list[str]:
    """What a clean verdict says nothing of. ``parts`` are those of the snapshot that were given."""
    left_out = []
    if missing:
        left_out.append(f"leaves that the library lacks ({', '.join(missing)})")
    if caps.not_modelled:
        left_out.append(f"leaves that the model lacks ({', '.join(caps.not_modelled)})")
    if caps.no_leaf:
        shown = ", ".join(map(str, caps.no_leaf[:MOST_NUMBERS]))
        more = ", …" if len(caps.no_leaf) > MOST_NUMBERS else ""
        left_out.append(
            f"{counted(len(caps.no_leaf), 'bit')} of tdxt_caps for which tdxfuzz knows no leaf "
            f"({shown}{more})"
        )
    if not caps.hook:
        left_out.append("calls of several LPs at once (no TDXT_HAS_HOOK)")
    if not caps.snapshot:
        left_out.append("the state between calls (no TDXT_HAS_SNAPSHOT)")
    elif lacking := [part for part in PARTS if part not in parts]:
        left_out.append(f"parts of the snapshot that the library never gave ({', '.join(lacking)})")
    if not caps.interrupt:
        left_out.append("interrupted calls (no TDXT_HAS_INTERRUPT)")
    if not caps.guest:
        left_out.append("guests of running vCPUs (no TDXT_HAS_GUEST)")
    if not caps.tsc:
        left_out.append("time-stamp counters that move (no TDXT_HAS_TSC)")
    return [*left_out, "time-stamp counters that run within a call"]


def divergence_text(found: Divergence) -> str:
    """What each side did; of a finding about one side, what that is."""
    if found.model == ONE_SIDE:
        return f"{found.field}: {found.leaf}: {found.library}\n"
    head = f"{found.leaf}, {found.field} differs:"
    return f"{head}\n  model    {found.model}\n  library  {found.library}\n"


_LOOK_FOR = {
    "reset": "look for: variables that are static or global, memory and mappings that tdxt_reset "
    "does not put back",
    "repeat": "look for: time, random numbers, addresses, registers and memory that nobody sets",
}


def advice(field: str, left: Sequence[str] = ()) -> list[str]:
    """What to look for, if a divergence is not about what calls answer."""
    lines = (
        [f"variables not as in a fresh process (some may be harmless): {', '.join(left)}"]
        if left
        else []
    )
    return [*lines, *([_LOOK_FOR[field]] if field in _LOOK_FOR else [])]


def trial_text(trial: Trial, outcome: Outcome, leaf: str = "", before: Sequence[Trial] = ()) -> str:
    """A trial call by call, with what one side answered. Calls of the boot are counted only, but
    for those that were refused, and the last one of ``leaf``, which the divergence is about.
    """
    return "".join(f"    {line}\n" for line in _lines(trial, outcome, leaf, before))


def _lines(trial: Trial, outcome: Outcome, leaf: str, before: Sequence[Trial]) -> Iterator[str]:
    if before:
        calls = sum(each.size for each in before)
        yield (
            f"in a process that has run {counted(len(before), 'sequence')} before "
            f"({counted(calls, 'call')}), because something outlives tdxt_reset"
        )
    about = last_call_of(trial, leaf)
    boot = 0
    for i, call in enumerate(trial.calls):
        result = outcome.results[i] if i < len(outcome.results) else None
        if i != about and _is_usual(call, result):
            boot += 1
            continue
        if boot:
            yield f"{counted(boot, 'call')} of the boot"
        boot = 0
        yield _call_line(call, result)
    if boot:
        yield f"{counted(boot, 'call')} of the boot"
    for lp, program in sorted(trial.programs.items()):
        for i, call in enumerate(program):
            yield f"LP {lp}: {_call_line(call, outcome.ran.get((lp, i)))}"
    shown = outcome.events[-MOST_EVENTS:]
    if len(shown) < len(outcome.events):
        yield f"({counted(len(outcome.events) - len(shown), 'event')} before)"
    for lp, event in shown:
        yield f"  LP {lp} {event_text(event)}"


def _is_usual(call: RecordedCall, result: CallResult | None) -> bool:
    """Whether it is a call of the boot that goes as it should."""
    return call.name.startswith("SYS_") and result is not None and result.status.ok


def last_call_of(trial: Trial, leaf: str) -> int | None:
    """The place of the last call of a leaf, if it is not in the programs."""
    if any(leaf_name(call) == leaf for calls in trial.programs.values() for call in calls):
        return None
    places = (i for i, call in enumerate(trial.calls) if leaf_name(call) == leaf)
    return max(places, default=None)


def _call_line(call: RecordedCall, result: CallResult | None) -> str:
    if result is None:
        answer = "(did not return)"
    else:
        answer = result.status.name if result.status == 0 else result.status.in_full
    return f"{call_text(call)} = {answer}"


def call_text(call: RecordedCall) -> str:
    """A call, with all that it depends on."""
    interrupted = ", with an interrupt pending" if call.interrupted else ""
    lp = f" on LP {call.cpu}" if call.cpu else ""
    steps = () if call.guest is None else call.guest.operations
    guest = f", its guest: {'; '.join(map(str, steps))}" if steps else ""
    moved = "" if call.tsc is None else f", time-stamp counters at {call.tsc:#x}"
    return f"{call}{lp}{interrupted}{moved}{guest}"
