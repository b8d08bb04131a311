"""An order of a reproducer, line by line, with the state after each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.names import with_names
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.host import Host
from tdxfuzz.repro.lines import Line
from tdxfuzz.repro.page.cards import NOTHING, Cards, cards_of
from tdxfuzz.repro.story import Story, story_of
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run
from tdxfuzz.sim import Record

FIRST, LAST = 400, 200
"""A longer story loses what is between its first and its last lines."""

LOCKS = "locks in the module"


@frozen
class Frame:
    """A line, and the state after it."""

    line: Line
    cards: Cards


@frozen
class Played:
    """One order of a case. ``left_out`` lines are missing between the first and the last ones;
    ``shown`` is its finding, or what else there is to say of its end.
    """

    run: Run
    before: tuple[str, ...]
    frames: tuple[Frame, ...]
    left_out: int
    shown: Finding | None


def run_to_tell(case: Case, design: Design = None, look: _Looker | None = None) -> Run:
    """A traced run; of a design that raises or hangs, the run up to there.

    Raises:
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
        DesignError: the design failed before there was a host.
    """
    try:
        return run(case, design, traced=True, sources=True, look=look)
    except DesignError as error:
        if error.run is None:
            raise
        return error.run


def play(case: Case, design: Design = None) -> Played:
    """Run a case, and look at the state where its story has a line. It is run twice: a story
    is known only when the run is over.

    Raises:
        HarnessError, DesignError: as for :func:`run_to_tell`.
    """
    first = run_to_tell(case, design)
    story = story_of(first)
    lines, left_out = _few(_with_end(story, first))
    numbers = _numbers(first)
    wanted = {numbers[id(line.record)] for line in lines if line.record is not None}
    look = _Looker(wanted)
    again = run_to_tell(case, design, look)
    locks = dict(_locks(again))
    frames: list[Frame] = []
    cards: Cards = {}
    for line in lines:
        if line.record is not None:
            number = numbers[id(line.record)]
            cards = look.seen.get(number, cards) | locks.get(number, {})
        frames.append(Frame(line, cards))
    return Played(again, story.before, _filled(frames), left_out, again.shown)


class _Looker:
    """Takes down the state at the records that are asked for, by their number."""

    def __init__(self, wanted: set[int]) -> None:
        self._wanted = wanted
        self._next = 0
        self.seen: dict[int, Cards] = {}

    def __call__(self, host: Host) -> None:
        if self._next in self._wanted:
            self.seen[self._next] = cards_of(host)
        self._next += 1


def _all_records(told: Run) -> Iterator[Record]:
    """Each record of a run once, in the order in which they were made."""
    setup = () if told.setup_trace is None else tuple(told.setup_trace)
    yield from setup
    own = set(map(id, setup))
    yield from (record for record in told.trace or () if id(record) not in own)


def _numbers(told: Run) -> dict[int, int]:
    return {id(record): number for number, record in enumerate(_all_records(told))}


def _with_end(story: Story, told: Run) -> tuple[Line, ...]:
    """The lines, and a last one that tells how a run without a finding ended."""
    if told.findings:
        return story.lines
    cpu = story.lines[-1].cpu if story.lines else 0
    text = "the run ends, and no check fires" if told.cut_off is None else told.cut_off.message
    return (*story.lines, Line(None, cpu, "mark", f"^ {text}"))


def _few(lines: Sequence[Line]) -> tuple[Sequence[Line], int]:
    left_out = len(lines) - FIRST - LAST
    if left_out <= 0:
        return lines, 0
    gap = Line(None, lines[FIRST].cpu, "fold", f"… {left_out:,} lines are left out here")
    return [*lines[:FIRST], evolve(gap, record=lines[FIRST - 1].record), *lines[-LAST:]], left_out


def _locks(told: Run) -> Iterator[tuple[int, Cards]]:
    """By the number of a record: the locks of the module that SEAMCALLs hold, and those that they
    were just refused.
    """
    held: dict[str, dict[int, str]] = {}
    refused: dict[str, int] = {}
    for number, record in enumerate(_all_records(told)):
        if record.kind == "event":
            op, mode, ok = record.data
            if op in ("acq", "promote") and ok:
                held.setdefault(record.what, {})[record.cpu] = _MODES.get(str(mode), str(mode))
            elif op in ("acq", "promote"):
                refused[record.what] = record.cpu
            elif op == "rel":
                held.get(record.what, {}).pop(record.cpu, None)
        elif record.kind == "return":
            # Writing an S-EPT entry anew drops its lock without an event of its own.
            for users in held.values():
                users.pop(record.cpu, None)
        elif record.kind == "call":
            refused = {name: cpu for name, cpu in refused.items() if cpu != record.cpu}
        rows = tuple(
            (with_names(name).removeprefix("the "), _users(held.get(name, {}), refused.get(name)))
            for name in sorted({name for name in held if held[name]} | set(refused))
        )
        yield number, {LOCKS: rows}


_MODES = {"EX": "exclusive", "SH": "shared"}


def _users(held: dict[int, str], refused: int | None) -> str:
    users = [f"CPU {cpu} {mode}" for cpu, mode in sorted(held.items())]
    if refused is not None:
        users.append(f"CPU {refused} refused: BUSY")
    return ", ".join(users)


def _filled(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """The frames with the same cards, and the same rows in a card, so that they stand still. A row
    that never says anything is left out.
    """
    words: dict[str, dict[str, None]] = {}
    for frame in frames:
        for name, rows in frame.cards.items():
            known = words.setdefault(name, {})
            known.update((word, None) for word, value in rows if value != NOTHING)

    def whole(cards: Cards) -> Cards:
        filled: Cards = {}
        for name, known in words.items():
            values = dict(cards.get(name, ()))
            filled[name] = tuple((word, values.get(word, NOTHING)) for word in known)
        return filled

    return tuple(Frame(frame.line, whole(frame.cards)) for frame in frames)
