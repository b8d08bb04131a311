"""Recordings of the real module: reading them, and running the model beside them.

The format is described in ``corpus/conformance/README.md``. Fields that this code does
not need are ignored; one that it needs and does not find is an error with its place.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from tdxfuzz.abi import Registers, Status, status
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.memory import Memory, RawPage
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.sim import Simulator

COMPARED = ("rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "rbx", "rdi", "rsi")
PROCESSORS = 8
PARAMS_FILE = "td_params.json"

LockEvent = tuple[str, str, str, bool | None]
"""Operation, mode, resource, success (None: the module died inside it)."""


class RecordingError(Exception):
    """A recording that cannot be read; the text names file, line and field."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


@frozen
class Config:
    """The machine a recording was made on."""

    tdmrs: tuple[TdmrInfo, ...]
    dynamic_pamt: bool
    params: tuple[tuple[int, bytes], ...]

    def build(self, cpus: int = 1) -> ModelUnderTest:
        """A model in the state the recording starts from."""
        sim = Simulator(cpus)
        memory = Memory()
        for hpa, content in self.params:
            memory.put(RawPage(hpa, content))
        module = TdxModule(sim, self.tdmrs, self.dynamic_pamt, memory=memory)
        return ModelUnderTest(sim, module, [LogicalProcessor(i) for i in range(PROCESSORS)])


@frozen
class RecordedCall:
    """One SEAMCALL: what went in, and what came out of the real module.

    ``status`` is None for a call that never returned, or whose result stands elsewhere.
    """

    leaf: int
    name: str
    version: int
    inputs: Mapping[str, int]
    interrupted: bool
    status: Status | None
    outputs: Mapping[str, int]
    cpu: int = 0

    def on(self, bench: ModelUnderTest) -> CallResult:
        """Make the same call on the model.

        Raises:
            LeafNotModelledError: the model lacks the leaf.
        """
        lp = bench.lps[self.cpu]
        lp.interrupt_pending = self.interrupted
        regs = Registers.of(self.inputs)
        word = bench.module.seamcall(lp, self.leaf, regs, self.version)
        return CallResult(word, {name: getattr(regs, name) for name in COMPARED})

    def differences(self, result: CallResult) -> list[str]:
        """Where the model differs, one line each: status, registers."""
        lines: list[str] = []
        if self.status is None:
            return lines
        if result.status != self.status:
            lines.append(f"status: recorded {self.status}, model {result.status}")
        for name in COMPARED:
            wanted, got = self.outputs[name], result.outputs[name]
            if wanted != got:
                lines.append(f"{name}: recorded {wanted:#x}, model {got:#x}")
        return lines

    @property
    def result(self) -> CallResult:
        """What the real module returned."""
        assert self.status is not None
        return CallResult(self.status, self.outputs)

    def __str__(self) -> str:
        operands = ", ".join(f"{name}={value:#x}" for name, value in self.inputs.items())
        version = f" version {self.version}" if self.version else ""
        return f"TDH.{self.name.replace('_', '.')}({operands}){version}"


@frozen
class CallResult:
    """Status and registers of a call on the model."""

    status: Status
    outputs: Mapping[str, int]


@frozen
class ModelUnderTest:
    """A model under test: its simulator, and eight logical processors."""

    sim: Simulator
    module: TdxModule
    lps: list[LogicalProcessor]


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
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise RecordingError(path, 0, f"cannot be read: {error}") from None


def read_params(path: Path) -> dict[str, bytes]:
    """TD_PARAMS pages by key, from the file beside the recordings."""
    beside = path.parent / PARAMS_FILE
    try:
        entries = mapping(json.loads(beside.read_text(encoding="utf-8")))
        return {key: bytes.fromhex(str(mapping(entries[key])["hex"])) for key in entries}
    except OSError as error:
        raise RecordingError(beside, 0, f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(beside, 0, f"not TD_PARAMS: {error!r}") from None


def config_of(data: Mapping[str, object], params: Mapping[str, bytes]) -> Config:
    """A ``config`` object; ``params`` are the TD_PARAMS pages it may name."""
    memory = [sequence(item) for item in sequence(data["memory"])]
    return Config(
        tdmrs=tuple(_tdmr(mapping(item)) for item in sequence(data["tdmrs"])),
        dynamic_pamt=bool(data["dynamic_pamt"]),
        params=tuple((hex_of(hpa), params[str(key)]) for hpa, key in memory),
    )


def _tdmr(data: Mapping[str, object]) -> TdmrInfo:
    reserved = [sequence(item) for item in sequence(data["reserved"])]
    return TdmrInfo(
        base=hex_of(data["base"]),
        size=hex_of(data["size"]),
        reserved=tuple((hex_of(base), hex_of(size)) for base, size in reserved),
        initialized=hex_of(data["initialized"]) if "initialized" in data else None,
    )


def call_of(data: Mapping[str, object], cpu: int = 0) -> RecordedCall:
    """A call object; without a result if it has none. ``cpu`` is for those that name none."""
    leaf, version, on_cpu = data["leaf"], data["version"], data.get("cpu", cpu)
    if not (isinstance(leaf, int) and isinstance(version, int) and isinstance(on_cpu, int)):
        raise TypeError("'leaf', 'version' and 'cpu' must be numbers")
    inputs = {name: hex_of(value) for name, value in mapping(data["in"]).items()}
    Registers.of(inputs)  # refuses what no register could hold
    returned = data.get("status")
    outputs = mapping(data["out"]) if returned is not None else {}
    return RecordedCall(
        leaf=leaf,
        name=str(data["name"]),
        version=version,
        inputs=inputs,
        interrupted=bool(data.get("intr")),
        status=None if returned is None else status(hex_of(returned)),
        outputs=outputs_of(outputs) if outputs else {},
        cpu=cpu_of(on_cpu),
    )


def outputs_of(data: Mapping[str, object]) -> dict[str, int]:
    """The registers after a call."""
    return {name: hex_of(data[name]) for name in COMPARED}


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


def sequence(data: object) -> list[object]:
    """A JSON array."""
    if not isinstance(data, list):
        raise TypeError(f"must be an array, not {data!r}")
    return data


def mapping(data: object) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(data, dict):
        raise TypeError(f"must be an object, not {data!r}")
    return data


def hex_of(value: object) -> int:
    """A number written as a hex string."""
    if not isinstance(value, str):
        raise TypeError(f"must be a hex string, not {value!r}")
    return int(value, 16)
