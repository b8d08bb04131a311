"""Recordings of the real module: reading them, and running the model beside them.

The format is described in ``corpus/conformance/README.md``. Fields that this code does
not need are ignored; one that it needs and does not find is an error with its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from errno import ENOENT
from pathlib import Path

from attrs import frozen

from tdxfuzz.abi import Registers, Status, status
from tdxfuzz.case import untrusted
from tdxfuzz.case.untrusted import UntrustedError, json_value
from tdxfuzz.case.visible import shortened, visible
from tdxfuzz.targets.guest import GuestScript, RunningScript, Told, script_of
from tdxfuzz.targets.json_values import hex_of, mapping, number, sequence
from tdxfuzz.targets.world import PROCESSORS, ModelUnderTest, Piece, pieces_of, within_pages

COMPARED = ("rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "rbx", "rdi", "rsi")
PARAMS_FILE = "td_params.json"
MAX_PARAMS = 1 << 22
"""Bytes of that file."""

IN_PACKAGE = Path(__file__).parent / "recordings"
"""A small set of recordings, for those who have no clone: some traces of ``corpus/conformance``."""

LockEvent = tuple[str, str, str, bool | None]
"""Operation, mode, resource, success (None: the module died inside it)."""

Fatal = tuple[int, int]
"""The CPU on which the module died, and the number of the fatal error."""


class RecordingError(Exception):
    """A recording that cannot be read; the text names file, line and field."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        super().__init__(visible(shortened(f"{where}: {problem}")))


@frozen
class RecordedCall:
    """One SEAMCALL: what went in, and what came out of the real module.

    ``status`` is None for a call that never returned, or whose result stands elsewhere.

    Args:
        tsc: all time-stamp counters become this just before the call.
        guest: what the vCPU does that it enters.
        left_out: output registers that are not compared, because their value needs the table of
            all metadata fields.
        written: what memory has after the call.
    """

    leaf: int
    name: str
    version: int
    inputs: Mapping[str, int]
    interrupted: bool
    status: Status | None
    outputs: Mapping[str, int]
    cpu: int = 0
    tsc: int | None = None
    guest: GuestScript | None = None
    left_out: frozenset[str] = frozenset()
    written: tuple[Piece, ...] = ()

    def on(self, bench: ModelUnderTest) -> CallResult:
        """Make the same call on the model.

        Raises:
            LeafNotModelledError: the model lacks the leaf.
        """
        if self.tsc is not None:
            bench.set_tsc(self.tsc)
        lp = bench.lps[self.cpu]
        lp.interrupt_pending = self.interrupted
        program = None if self.guest is None else RunningScript(self.guest)
        lp.guest = program
        regs = Registers.of(self.inputs)
        word = bench.module.seamcall(lp, self.leaf, regs, self.version)
        return CallResult(
            word,
            {name: getattr(regs, name) for name in COMPARED},
            () if program is None else tuple(program.told),
            tuple((hpa, _read(bench, hpa, len(content))) for hpa, content in self.written),
        )

    def differences(self, result: CallResult) -> list[str]:
        """Where the model differs, one line each: status, registers, guest, memory."""
        lines: list[str] = []
        if self.status is None:
            return lines
        if self.guest is not None:
            lines += self.guest.differences(result.told)
        if result.status != self.status:
            lines.append(f"status: recorded {self.status}, model {result.status}")
        for name in COMPARED:
            wanted, got = self.outputs[name], result.outputs[name]
            if wanted != got and name not in self.left_out:
                lines.append(f"{name}: recorded {wanted:#x}, model {got:#x}")
        for (hpa, content), (_, found) in zip(self.written, result.written, strict=True):
            if content != found:
                lines.append(f"memory at {hpa:#x}: recorded {content.hex()}, model {found.hex()}")
        return lines

    @property
    def result(self) -> CallResult:
        """What the real module returned."""
        assert self.status is not None
        told = () if self.guest is None else self.guest.told
        return CallResult(self.status, self.outputs, told, self.written)

    def __str__(self) -> str:
        operands = ", ".join(f"{name}={value:#x}" for name, value in self.inputs.items())
        version = f" version {self.version}" if self.version else ""
        return f"TDH.{self.name.replace('_', '.')}({operands}){version}"


@frozen
class CallResult:
    """Status and registers of a call, what its guest was told, and what memory has then."""

    status: Status
    outputs: Mapping[str, int]
    told: tuple[Told, ...] = ()
    written: tuple[Piece, ...] = ()


def _read(bench: ModelUnderTest, hpa: int, size: int) -> bytes:
    parts = within_pages(hpa, bytes(size))
    return b"".join(bench.module.memory.read(start, len(part)) for start, part in parts)


def find_datasets(paths: list[Path]) -> list[Path]:
    """The recording files that paths name; a folder stands for those in it and below it.

    A folder that holds recordings and their ``td_params.json`` is one set. Files come set by
    set, the outer folder first.

    Raises:
        RecordingError: nothing is there.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [p for p in path.rglob("*") if p.name.endswith((".jsonl.gz", ".jsonl"))]
            if not inside:
                raise RecordingError(path, 0, "no recordings (*.jsonl.gz) in this folder")
            found += sorted(inside, key=lambda file: (file.parent, file.name))
        elif path.exists():
            found.append(path)
        else:
            raise RecordingError(path, 0, "no such file or folder")
    return found


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, packed or not, with their numbers."""
    try:
        yield from untrusted.lines_of(path)
    except UntrustedError as error:
        raise RecordingError(path, error.line, f"cannot be read: {error}") from None


class _NoParams(dict[str, bytes]):
    """No file is there: that is an error for a recording that names a page of it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def __missing__(self, key: str) -> bytes:
        raise RecordingError(self._file, 0, f"cannot be read: {os.strerror(ENOENT)}")


def read_params(path: Path) -> dict[str, bytes]:
    """TD_PARAMS pages by key, from the file beside the recordings."""
    beside = path.parent / PARAMS_FILE
    if not beside.exists():
        return _NoParams(beside)
    try:
        entries = mapping(json_value(untrusted.read_text(beside, "TD_PARAMS", MAX_PARAMS)))
        return {key: bytes.fromhex(str(mapping(entries[key])["hex"])) for key in entries}
    except UntrustedError as error:
        raise RecordingError(beside, 0, f"cannot be read: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(beside, 0, f"not TD_PARAMS: {error!r}") from None


def call_of(data: Mapping[str, object], cpu: int = 0) -> RecordedCall:
    """A call object; without a result if it has none. ``cpu`` is for those that name none."""
    leaf, version, on_cpu = data["leaf"], data["version"], data.get("cpu", cpu)
    if not (isinstance(leaf, int) and isinstance(version, int) and isinstance(on_cpu, int)):
        raise TypeError("'leaf', 'version' and 'cpu' must be numbers")
    inputs = {name: hex_of(value) for name, value in mapping(data["in"]).items()}
    Registers.of(inputs)  # refuses what no register could hold
    returned = data.get("status")
    outputs = mapping(data["out"]) if returned is not None else {}
    left_out = frozenset(str(name) for name in sequence(data.get("mask", [])))
    return RecordedCall(
        leaf=leaf,
        name=str(data["name"]),
        version=version,
        inputs=inputs,
        interrupted=bool(data.get("intr")),
        status=None if returned is None else status(hex_of(returned)),
        outputs=outputs_of(outputs) if outputs else {},
        cpu=cpu_of(on_cpu),
        tsc=tsc_of(data["tsc"]) if "tsc" in data else None,
        guest=script_of(data["guest"]) if "guest" in data else None,
        left_out=left_out,
        written=pieces_of(data.get("mem", [])),
    )


def tsc_of(value: object) -> int:
    """A time-stamp counter, in ticks."""
    return number(hex_of(value), "tsc", 0, (1 << 64) - 1)


def outputs_of(data: Mapping[str, object]) -> dict[str, int]:
    """The registers after a call."""
    return {name: hex_of(data[name]) for name in COMPARED}


def fatal_of(data: object) -> Fatal | None:
    """A ``fatal`` object, or None."""
    if data is None:
        return None
    cpu, fatal_id = mapping(data)["cpu"], mapping(data)["id"]
    if not (isinstance(cpu, int) and isinstance(fatal_id, int)):
        raise TypeError("'fatal' needs numbers 'cpu' and 'id'")
    return cpu, fatal_id


def cpu_of(value: object) -> int:
    """The number of a CPU."""
    if not isinstance(value, int):
        raise TypeError(f"a CPU must be a number, not {value!r}")
    if not 0 <= value < PROCESSORS:
        raise ValueError(f"a CPU must be 0..{PROCESSORS - 1}, not {value}")
    return value


def calls_of(data: object, cpu: int = 0) -> tuple[RecordedCall, ...]:
    """A list of call objects."""
    return tuple(call_of(mapping(item), cpu) for item in sequence(data))


def event_of(data: object) -> LockEvent:
    """An event as ``[op, mode, resource, ok]``."""
    op, mode, what, ok = sequence(data)
    return str(op), str(mode), str(what), None if ok is None else bool(ok)


def order_of(data: object) -> tuple[tuple[int, LockEvent], ...]:
    """A list of ``[cpu, op, mode, resource, ok]``."""
    entries = []
    for item in sequence(data):
        cpu, *event = sequence(item)
        entries.append((cpu_of(cpu), event_of(event)))
    return tuple(entries)
