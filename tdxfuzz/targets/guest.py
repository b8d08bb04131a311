"""What a recorded guest does between the entry of its vCPU and the exit, and what it is told.

See ``corpus/conformance/third/README.md``, "Guests".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from tdxfuzz.abi import Registers, Status, status
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.td_exit import EXTERNAL_INTERRUPT, PROGRAM_MAY_EXIT_WITH, TDCALL
from tdxfuzz.targets.json_values import hex_of, mapping, number, sequence

COMPARED = ("rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13")
"""The registers of a TDCALL that a recording has."""

Told = str
"""What an operation came back with, as a text; None if it did not come back."""


@frozen
class Touch:
    """Read or write a byte: "ok", or "ve" for a page not yet accepted."""

    gpa: int
    write: bool
    told: Told | None

    def perform(self, guest: Guest) -> Told:
        """Do it in the guest that runs."""
        return "ok" if guest.access(self.gpa, self.write) else "ve"

    def __str__(self) -> str:
        return f"{'write' if self.write else 'read'} {self.gpa:#x}"


@frozen
class Tdcall:
    """A TDCALL: status, and the registers that are not 0."""

    leaf: int
    name: str
    version: int
    inputs: Mapping[str, int]
    told: Told | None

    def perform(self, guest: Guest) -> Told:
        """Do it in the guest that runs."""
        regs = Registers.of(self.inputs)
        word = guest.tdcall(self.leaf, regs, self.version)
        return told_text(word, {name: getattr(regs, name) for name in COMPARED})

    def __str__(self) -> str:
        operands = ", ".join(f"{name}={value:#x}" for name, value in self.inputs.items())
        version = f" version {self.version}" if self.version else ""
        return f"{self.name.replace('_', '.')}({operands}){version}"


@frozen
class Leave:
    """Go to the host with a basic exit reason."""

    reason: int

    def __str__(self) -> str:
        return f"exit {self.reason}"


@frozen
class GuestScript:
    """The operations of a vCPU after one entry. With the last one done it is interrupted."""

    operations: tuple[Touch | Tdcall | Leave, ...]

    @property
    def told(self) -> tuple[Told, ...]:
        """What the recorded guest was told, up to its exit."""
        return tuple(op.told for op in self._acts if op.told is not None)

    @property
    def _acts(self) -> list[Touch | Tdcall]:
        return [op for op in self.operations if not isinstance(op, Leave)]

    def differences(self, told: tuple[Told, ...]) -> list[str]:
        """Where the model's guest was told something else, one line each."""
        lines = []
        for i, op in enumerate(self._acts):
            got = told[i] if i < len(told) else None
            if op.told != got:
                lines.append(
                    f"guest, {op}: recorded {op.told or 'no result'}, model {got or 'no result'}"
                )
        return lines


class RunningScript:
    """A script as the program of a vCPU; ``told`` fills while it runs."""

    def __init__(self, script: GuestScript) -> None:
        self._script = script
        self.told: list[Told] = []

    def __call__(self, guest: Guest) -> int:
        for operation in self._script.operations:
            if isinstance(operation, Leave):
                return operation.reason
            self.told.append(operation.perform(guest))
        return EXTERNAL_INTERRUPT


def told_text(word: Status, outputs: Mapping[str, int]) -> Told:
    """What a TDCALL came back with."""
    registers = " ".join(f"{name}={value:#x}" for name, value in outputs.items() if value)
    return f"{int(word):#x} {word} {registers}".strip()


def script_objects(script: GuestScript, told: Sequence[Told]) -> list[dict[str, object]]:
    """A script as the list in the field ``guest``, with what the guest was told."""
    left = iter(told)
    objects: list[dict[str, object]] = []
    for op in script.operations:
        if isinstance(op, Leave):
            objects.append({"op": "exit", "reason": op.reason})
            continue
        result = next(left, None)
        if isinstance(op, Touch):
            objects.append(
                {"op": "touch", "gpa": hex(op.gpa), "write": int(op.write), "result": result}
            )
            continue
        word, *texts = (result or "").split(" ")
        registers = dict(text.split("=") for text in texts if "=" in text)
        objects.append(
            {
                "op": "tdcall",
                "leaf": op.leaf,
                "name": op.name,
                "version": op.version,
                "in": {name: hex(value) for name, value in op.inputs.items()},
                "status": word or None,
                "out": {name: registers.get(name, "0x0") for name in COMPARED},
            }
        )
    return objects


def script_of(data: object) -> GuestScript:
    """The list in the field ``guest``."""
    return GuestScript(tuple(_operation(mapping(item)) for item in sequence(data)))


def _operation(data: Mapping[str, object]) -> Touch | Tdcall | Leave:
    op = data["op"]
    if op == "touch":
        result = data["result"]
        return Touch(
            hex_of(data["gpa"]), bool(data["write"]), None if result is None else str(result)
        )
    if op == "tdcall":
        return _tdcall(data)
    if op == "exit":
        reason = number(data["reason"], "reason", 0, 0xFFFF)
        if reason not in PROGRAM_MAY_EXIT_WITH - {TDCALL}:
            raise ValueError(f"a guest cannot leave with exit reason {reason}")
        return Leave(reason)
    raise ValueError(f"a guest's operation must be touch, tdcall or exit, not {op!r}")


def _tdcall(data: Mapping[str, object]) -> Tdcall:
    inputs = {name: hex_of(value) for name, value in mapping(data["in"]).items()}
    Registers.of(inputs)  # refuses what no register could hold
    told = None
    if data["status"] is not None:
        outputs = mapping(data["out"])
        told = told_text(
            status(hex_of(data["status"])), {name: hex_of(outputs[name]) for name in COMPARED}
        )
    return Tdcall(
        leaf=number(data["leaf"], "leaf", 0, (1 << 48) - 1),
        name=str(data["name"]),
        version=number(data["version"], "version", 0, 0xFF),
        inputs=inputs,
        told=told,
    )
