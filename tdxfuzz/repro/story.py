"""What of a run tells its finding: which lines are shown, and which are folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from attrs import evolve, frozen

from tdxfuzz.case.names import with_names
from tdxfuzz.case.visible import visible
from tdxfuzz.check.deadlock import DeadlockCheck
from tdxfuzz.repro.answers import Answers
from tdxfuzz.repro.lines import Line, describe_op, read_lines
from tdxfuzz.repro.named_ranges import ranges_in
from tdxfuzz.repro.words import counted
from tdxfuzz.run.result import Run
from tdxfuzz.sim import Record

FOLD_FROM = 3
"""So many lines on other ranges become one."""


@frozen
class Story:
    """``before`` are operations of the set-up that are not shown call by call."""

    before: tuple[str, ...]
    lines: tuple[Line, ...]


def story_of(run: Run) -> Story:
    """A traced run up to its last finding, which is marked.

    It names at least one SEAMCALL, get or put if there was any: if the programs made none, the
    last operations of the set-up are shown as well, and if the finding came in the set-up, the
    operation that was under way. Of a finding, lines on ranges that it does not involve are folded.
    A line has no characters that cannot be seen, whatever a design calls its locks.

    Raises:
        ValueError: the run kept no trace.
    """
    if run.trace is None:
        raise ValueError("the run kept no trace")
    records = list(run.trace)
    if run.findings:
        records = _until_last_finding(run, records)
    before, setup = run.case.setup, list[Record]()
    if run.told_by_setup:
        # A finding of its end may come from any of its operations.
        setup, records = records[_last_op(records) if run.in_setup else 0 :], []
        before = before[: _operations(run.trace) - _operations(setup)]
    lines = _lines(run, records)
    is_deadlock = run.finding is not None and run.finding.check == DeadlockCheck.id
    if is_deadlock and records and records[-1].kind == "step":
        lines.append(_in_column(_last_wait(records[-1]), run.case.world.cpus))
    if run.findings and not setup and not any(line.calls for line in lines):
        setup = _last_calls(run)
        before = before[: len(before) - _operations(setup)]
    told = [evolve(line, step=None) for line in _lines(run, setup)] + lines
    if run.finding is not None:
        while told and told[-1].kind == "op":
            told.pop()
        told = list(_folded(told, _involved(run, told)))
        text = f"^ {run.finding.check}: {run.finding.message} (design: {run.case.design})"
        last = max(finding.step for finding in run.findings)
        told.append(Line(last, told[-1].cpu if told else 0, "mark", text))
    shown = tuple(evolve(line, text=visible(line.text)) for line in told)
    return Story(tuple(describe_op(run.layout, op) for op in before), shown)


def _until_last_finding(run: Run, records: list[Record]) -> list[Record]:
    """The records up to the last finding, and what belongs to its step; all of them if it came
    when the run had ended.
    """
    found = [i for i, record in enumerate(records) if record.kind == "finding"]
    if len(found) < len(run.findings):
        return records
    last = max(finding.step for finding in run.findings)
    return [record for i, record in enumerate(records) if i <= found[-1] or record.step <= last]


def _last_wait(record: Record) -> Line:
    """The wait that closes the cycle of a deadlock. It ends the run, so that it has no record of
    its own: the CPU has announced its step on the lock, and no more.
    """
    text = f"waits for {with_names(record.what)}"
    return Line(record.step, record.cpu, "wait", text, ranges=ranges_in(text), record=record)


def _operations(records: Iterable[Record]) -> int:
    return sum(record.kind == "op" for record in records)


def _last_op(records: Sequence[Record]) -> int:
    """Where the last operation begins."""
    return max((i for i, record in enumerate(records) if record.kind == "op"), default=0)


def _last_calls(run: Run) -> list[Record]:
    """The end of the set-up, from the last operation on that makes a call."""
    records = [] if run.setup_trace is None else list(run.setup_trace)
    shown: list[Record] = []
    while records and not any(line.calls for line in _lines(run, shown)):
        begin = _last_op(records)
        records, shown = records[:begin], records[begin:] + shown
    return shown


def _lines(run: Run, records: Sequence[Record]) -> list[Line]:
    cpus = run.cpus
    answers = Answers(run.tolerates, run.findings)
    return [_in_column(line, cpus) for line in read_lines(run.layout, records, answers)]


def _in_column(line: Line, cpus: int) -> Line:
    """Put the lines of a softirq into the column of its CPU."""
    if line.cpu < cpus:
        return line
    return evolve(line, cpu=line.cpu - cpus, text=f"softirq: {line.text}")


def _involved(run: Run, lines: Sequence[Line]) -> frozenset[str]:
    """The ranges that the findings name, those for which a lock that they name was taken, and
    those of the last call of each CPU.
    """
    messages = " ".join(finding.message for finding in run.findings)
    last = {line.cpu: line.ranges for line in lines if line.calls}
    locked = [
        line.ranges
        for line in lines
        if "lock " in line.text and line.text.split()[-1] in messages.replace(",", " ").split()
    ]
    return frozenset().union(ranges_in(messages), *last.values(), *locked)


def _folded(lines: Sequence[Line], involved: frozenset[str]) -> Iterator[Line]:
    """One line for several of one CPU that are about other ranges."""

    def elsewhere(line: Line) -> bool:
        return (
            line.kind in ("call", "host") and bool(line.ranges) and line.ranges.isdisjoint(involved)
        )

    for (folds, cpu), group in groupby(lines, lambda line: (elsewhere(line), line.cpu)):
        some = list(group)
        if not folds or len(some) < FOLD_FROM:
            yield from some
            continue
        calls = sum(line.calls for line in some)
        what = counted(calls, "call") if calls else counted(len(some), "line")
        text = f"… {what} on other ranges"
        yield Line(some[0].step, cpu, "fold", text, record=some[-1].record)
