"""A library in a process of its own: trials in, outcomes out. It may crash, and it may hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from tdxfuzz.abi import status
from tdxfuzz.module.snapshot import PARTS
from tdxfuzz.targets.json_values import mapping
from tdxfuzz.targets.library.build import runner
from tdxfuzz.targets.library.caps import Caps
from tdxfuzz.targets.library.elf import check_library
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.names import EVENT, event_of
from tdxfuzz.targets.library.refusals import refusal_text
from tdxfuzz.targets.library.trial import AT_END, Outcome, State, Stop, Trial, tidy
from tdxfuzz.targets.library.where import in_source
from tdxfuzz.targets.library.wire import (
    RESULT,
    STEP,
    Answer,
    Answers,
    Command,
    EndOfAnswers,
    call_words,
    read_words,
    told_of,
    word,
    world_words,
    write_words,
)
from tdxfuzz.targets.recording import COMPARED, CallResult, LockEvent, RecordedCall
from tdxfuzz.targets.world import AtReset, within_pages


@frozen
class Patience:
    """After how long a call hangs: ``ticks`` of 50 ms of CPU time that it takes without an event,
    or ``seconds`` in which it waits.
    """

    ticks: int = 20
    seconds: float = 10.0


PATIENT = Patience()
AGAIN = Patience(8, 4.0)
"""While a hang is confirmed."""

HASTY = Patience(1, 1.0)
"""While a hang that is known is met again and again."""

STACK_OVERFLOW = "stack overflow"
"""What the other process says of a crash in the hole below a stack."""

_LOADING, _SEAMCALL = "its constructors", "tdxt_seamcall"


class _Stopped(Exception):
    """The library crashed or hangs; the process is gone."""

    def __init__(self, kind: str, text: str, function: str, lp: int = 0, place: int = 0) -> None:
        super().__init__()
        self.function = function
        self.kind = kind
        self.text = text
        self.lp = lp
        self.place = place


class Library:
    """A library. The process is started when it is needed, and again after a crash; ``starts``
    says how often it was.

    Use it as a context manager, or :meth:`close` it.

    Raises:
        LibraryError: it cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        self.patience = PATIENT
        self.starts = 0
        self._doing = _LOADING
        self._asked = ""
        self._world: AtReset | None = None
        if not path.is_file():
            raise LibraryError(f"{path}: no such file")
        check_library(path)
        self.path = path
        self.parts: set[str] = set()
        """Parts of the snapshot that it gave so far."""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.caps = self._hello()
        except LibraryError:
            self.close()
            raise

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def play(self, trial: Trial) -> Outcome:
        """Run a trial.

        Raises:
            LibraryError: the library refuses what it is asked.
        """
        results: list[CallResult] = []
        states: dict[int, State] = {}
        of_calls: list[tuple[LockEvent, ...]] = []
        lp = 0
        try:
            self._reset(trial.world)
            start = 0
            for place in trial.places:
                self._send_calls(trial.calls[start:place], trial.closely)
                stop = None
                for call in trial.calls[start:place]:
                    lp, self._asked = call.cpu, f"{call} on LP {call.cpu}"
                    self._await()
                    fatal, result = self._one_result()
                    if trial.closely and self.caps.hook:
                        of_calls.append(tuple(event for _, event in self._events()))
                    if not fatal:
                        results.append(result)
                    elif stop is None:
                        stop = Stop("fatal", str(fatal), lp)
                if stop is not None:
                    return Outcome(tuple(results), states, stop=stop, of_calls=tuple(of_calls))
                start = place
                if self.caps.snapshot:
                    states[place] = self._state()
            done = Outcome(tuple(results), states, of_calls=tuple(of_calls))
            return self._play_programs(trial, done) if trial.programs else done
        except _Stopped as stopped:
            lp = stopped.lp if len(results) == len(trial.calls) else lp
            function = "" if stopped.function == _SEAMCALL else stopped.function
            stop = Stop(stopped.kind, stopped.text, lp, stopped.place, function)
            return Outcome(tuple(results), states, stop=stop, of_calls=tuple(of_calls))

    def data_after_reset(self, world: AtReset) -> tuple[tuple[int, bytes], ...]:
        """Each part of the library's own variables straight behind a reset: where it lies in the
        file, and what it holds.

        Raises:
            LibraryError: the library refuses the reset, or does not come back from it.
        """
        try:
            self._reset(world)
            self._send(word(Command.DATA))
            self._await()
        except _Stopped as stopped:
            raise LibraryError(f"{stopped.kind}: {stopped.text}") from None
        answers = self._answers
        return tuple((answers.number(), answers.data()) for _ in range(answers.number()))

    def _play_programs(self, trial: Trial, done: Outcome) -> Outcome:
        programs = dict(sorted(trial.programs.items()))
        self._doing, self._asked = _SEAMCALL, f"programs of {len(programs)} LPs"
        self._send(
            word(Command.PROGRAMS) + word(len(programs)),
            *(
                word(lp) + word(len(calls)) + b"".join(map(call_words, calls))
                for lp, calls in programs.items()
            ),
            word(len(trial.order)) + b"".join(map(word, trial.order)),
        )
        self._await()
        answers = self._answers
        fatal, fatal_lp = answers.number(), answers.number()
        events = self._events()
        ran: dict[tuple[int, int], CallResult] = {}
        for lp in programs:
            for i in range(answers.number()):
                ran[lp, i] = self._one_result()[1]
        stop = Stop("fatal", str(fatal), fatal_lp) if fatal else None
        states = dict(done.states)
        if stop is None and self.caps.snapshot:
            states[AT_END] = self._state()
        return evolve(done, states=states, events=events, ran=ran, stop=stop)

    def _events(self) -> tuple[tuple[int, LockEvent], ...]:
        data = self._answers.take(self._answers.number() * EVENT.size)
        try:
            return tuple(
                event_of(data[at : at + EVENT.size]) for at in range(0, len(data), EVENT.size)
            )
        except ValueError as error:
            raise LibraryError(f"the library has told of {error}") from None

    def _hello(self) -> Caps:
        try:
            self._send(word(Command.HELLO))
            self._await()
        except _Stopped as stopped:
            raise LibraryError(
                f"{self.path.name}: loading it, in {stopped.function}: {stopped.text}"
            ) from None
        answers = self._answers
        answers.number()  # the version of the ABI, which the other process has compared
        flags = answers.number()
        bits = int.from_bytes(answers.take(32), "little")
        try:
            return Caps.of(answers.text(), flags, bits)
        except LibraryError as error:
            raise LibraryError(f"{self.path.name}: {error}") from None

    def _reset(self, world: AtReset) -> None:
        pieces = [part for piece in world.memory for part in within_pages(*piece)]
        self._asked, self._world = "", world
        self._doing = "tdxt_reset"
        self._send(word(Command.RESET), world_words(world))
        self._await()
        self._doing = "tdxt_mem_read"
        self._send(*(read_words(hpa, len(content)) for hpa, content in pieces))
        for hpa, content in pieces:
            self._must_hold(hpa, bytes(len(content)), "tdxt_reset left something in memory")
        self._doing = "tdxt_mem_write"
        self._send(*(write_words(*piece) for piece in pieces))
        for hpa, content in pieces:
            self._asked = f"{len(content)} bytes at {hpa:#x}"
            self._await()
        if pieces:  # the last one, because it may lie over others
            self._doing = "tdxt_mem_read"
            hpa, content = pieces[-1]
            self._send(read_words(hpa, len(content)))
            self._must_hold(hpa, content, "tdxt_mem_read does not give what was written")

    def _must_hold(self, hpa: int, content: bytes, why: str) -> None:
        """What was asked for of memory."""
        self._asked = f"{len(content)} bytes at {hpa:#x}"
        self._await()
        held = self._answers.data()
        if held != content:
            at = next(
                i for i, pair in enumerate(zip(held, content, strict=True)) if pair[0] != pair[1]
            )
            raise LibraryError(
                f"{self.path.name}: {why}: {held[at]:#04x} at {hpa + at:#x}, not {content[at]:#04x}"
            )

    def _send_calls(self, calls: Sequence[RecordedCall], closely: bool) -> None:
        self._doing = _SEAMCALL
        command = word(Command.CALL_CLOSELY if closely and self.caps.hook else Command.CALL)
        self._send(*(command + call_words(call) for call in calls))

    def _one_result(self) -> tuple[int, CallResult]:
        fatal, rax, *registers = RESULT.unpack(self._answers.take(RESULT.size))
        told = tuple(told_of(self._answers.take(STEP.size)) for _ in range(self._answers.number()))
        return fatal, CallResult(status(rax), dict(zip(COMPARED, registers, strict=True)), told)

    def _state(self) -> State:
        self._doing, self._asked = "tdxt_snapshot", ""
        self._send(word(Command.SNAPSHOT))
        self._await()
        text = self._answers.text()
        try:
            state = mapping(json.loads(text))
        except (ValueError, TypeError) as error:
            raise LibraryError(f"tdxt_snapshot gives no JSON object: {error}") from None
        for part in state:
            if part not in PARTS:
                raise LibraryError(
                    f"tdxt_snapshot gives the part {part!r}; there are {', '.join(PARTS)}"
                )
        self.parts |= state.keys()
        return tidy(state)

    def _send(self, *parts: bytes) -> None:
        """Never more at a time than a pipe holds: neither side waits for the other to read."""
        process = self._start()
        assert process.stdin is not None
        try:
            os.write(process.stdin.fileno(), b"".join(parts))
        except BrokenPipeError:
            return  # the answers say why

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self.starts += 1
            self._process = subprocess.Popen(
                [str(runner()), str(self.path.absolute()), str(self.patience.ticks)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                # A signal to our group must not look like a crash of the library.
                process_group=0,
            )
            assert self._process.stdout is not None
            self._answers = Answers(self._process.stdout.fileno(), self.patience.seconds)
        return self._process

    def _await(self) -> None:
        """The beginning of an answer.

        Raises:
            _Stopped: it is the last one.
        """
        try:
            kind = self._kind_of_answer()
            if kind == Answer.OK:
                return
            if kind == Answer.REFUSED:
                function, why = self._answers.text(), self._answers.text()
                self.close()
                text = refusal_text(function, why, self._asked, self._world)
                raise LibraryError(f"{self.path.name}: {text}")
            number, lp, place = (self._answers.number() for _ in range(3))
            where = in_source(self._answers.text(), self.path)
            function = self._answers.text() or self._doing
        except EndOfAnswers as end:
            raise self._ended(end) from None
        self.close()
        at = f" in {where}" if where else ""
        if kind == Answer.HANGS:
            how = "waits" if number == signal.SIGALRM else "does not end"
            raise _Stopped("hang", f"it {how}{at}", function, lp, place)
        if not number or where == STACK_OVERFLOW:
            raise _Stopped("crash", where, function, lp, place)
        raise _Stopped("crash", f"{signal.Signals(number).name}{at}", function, lp, place)

    def _kind_of_answer(self) -> int:
        """The first word of an answer; a library that waits for too long is asked where."""
        try:
            return self._answers.number()
        except EndOfAnswers as end:
            if not end.silent or self._process is None:
                raise
            self._process.send_signal(signal.SIGALRM)
            return self._answers.number()

    def _ended(self, end: EndOfAnswers) -> _Stopped:
        """It went without a word, or was ended because it was silent."""
        assert self._process is not None
        if end.silent:
            self.close()
            return _Stopped("hang", "it waits", self._doing)
        code = self._process.wait()
        self.close()
        if code < 0:
            return _Stopped("crash", signal.Signals(-code).name, self._doing)
        return _Stopped("crash", f"it ended the process with exit code {code}", self._doing)
