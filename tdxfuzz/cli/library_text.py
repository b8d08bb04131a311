"""What commands that run a library share: the option, and how a trial is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from tdxfuzz.cli.exit_codes import BROKEN, FINDING, PASS
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.repro.words import counted
from tdxfuzz.sim import HarnessError
from tdxfuzz.targets.count import event_text
from tdxfuzz.targets.library.caps import Caps
from tdxfuzz.targets.library.files import read
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.replay import is_same, replay
from tdxfuzz.targets.library.trial import Outcome, Trial
from tdxfuzz.targets.recording import CallResult, RecordedCall, RecordingError

F = TypeVar("F", bound=Callable[..., object])

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


def not_compared(caps: Caps, missing: Sequence[str]) -> list[str]:
    """What a clean verdict says nothing of."""
    left_out = []
    if missing:
        left_out.append(f"leaves that the library lacks ({', '.join(missing)})")
    if not caps.hook:
        left_out.append("calls of several LPs at once (no TDXT_HAS_HOOK)")
    if not caps.snapshot:
        left_out.append("the state between calls (no TDXT_HAS_SNAPSHOT)")
    if not caps.interrupt:
        left_out.append("interrupted calls (no TDXT_HAS_INTERRUPT)")
    if not caps.guest:
        left_out.append("guests of running vCPUs (no TDXT_HAS_GUEST)")
    return [*left_out, "time-stamp counters that run"]


def trial_text(trial: Trial, outcome: Outcome, before: Sequence[Trial] = ()) -> str:
    """A trial call by call, with what one side answered. The boot is one line."""
    return "".join(f"    {line}\n" for line in _lines(trial, outcome, before))


def _lines(trial: Trial, outcome: Outcome, before: Sequence[Trial]) -> Iterator[str]:
    if before:
        calls = sum(each.size for each in before)
        yield (
            f"in a process that has run {counted(len(before), 'sequence')} before "
            f"({counted(calls, 'call')}), because something outlives tdxt_reset"
        )
    boot = sum(call.name.startswith("SYS_") for call in trial.calls)
    if boot:
        yield f"{counted(boot, 'call')} of the boot"
    for i, call in enumerate(trial.calls):
        if not call.name.startswith("SYS_") or i >= len(outcome.results):
            yield _call_line(call, outcome.results[i] if i < len(outcome.results) else None)
    for lp, program in sorted(trial.programs.items()):
        for i, call in enumerate(program):
            yield f"LP {lp}: {_call_line(call, outcome.ran.get((lp, i)))}"
    shown = outcome.events[-MOST_EVENTS:]
    if len(shown) < len(outcome.events):
        yield f"({counted(len(outcome.events) - len(shown), 'event')} before)"
    for lp, event in shown:
        yield f"  LP {lp} {event_text(event)}"


def _call_line(call: RecordedCall, result: CallResult | None) -> str:
    interrupted = ", with an interrupt pending" if call.interrupted else ""
    lp = f" on LP {call.cpu}" if call.cpu else ""
    steps = () if call.guest is None else call.guest.operations
    guest = f", its guest: {'; '.join(map(str, steps))}" if steps else ""
    answer = "(did not return)" if result is None else result.status
    return f"{call}{lp}{interrupted}{guest} = {answer}"


def replay_divergence(
    path: Path, library: Library | None, output: Output
) -> tuple[dict[str, object], int]:
    """Run a divergence's file again; a row of the results, and an exit code."""
    row: dict[str, object] = {"path": str(path)}
    try:
        reproducer = read(path)
        found = replay(reproducer, library)
    except (RecordingError, HarnessError) as error:
        print_error(str(error))
        output.line(f"ERROR    {path}", style="magenta")
        return {**row, "result": "ERROR", "error": str(error)}, BROKEN
    row |= {"check": "divergence", "bucket": f"{reproducer.leaf}/{reproducer.field}"}
    if found is None:
        output.line(f"FIXED    {path}", style="green")
        return {**row, "result": "FIXED"}, PASS
    result = "FAILED" if is_same(reproducer, found) else "CHANGED"
    output.line(f"{result:8} {path}  {found.leaf}, {found.field}", style="red")
    output.line(f"         model {found.model}; library {found.library}")
    shown = {"model": found.model, "library": found.library}
    return {**row, "result": result, "shown": f"{found.leaf}/{found.field}", **shown}, FINDING
