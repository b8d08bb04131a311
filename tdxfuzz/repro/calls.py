"""The SEAMCALLs of a traced run, each with what must have happened before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.abi.leaf import Leaf
from tdxfuzz.case.operation import Op
from tdxfuzz.sim import Record


@frozen
class Call:
    """One SEAMCALL of a CPU.

    ``answer`` is the status word, or None if it never returned. ``returned`` and ``begun`` say for
    other CPUs how many of their calls had returned, and how many had begun, when it began.
    ``operation`` is what it belongs to.
    """

    cpu: int
    leaf: Leaf
    version: int
    registers: Mapping[str, int] = field(hash=False)
    answer: int | None
    operation: str
    returned: Mapping[int, int] = field(hash=False)
    begun: Mapping[int, int] = field(hash=False)


class _Begun:
    """A call while its records are read."""

    def __init__(self, record: Record, op: Op | None, counts: tuple[dict[int, int], ...]) -> None:
        self.record = record
        self.op = op
        self.returned, self.begun = (dict(count) for count in counts)
        self.answer: int | None = None

    def whole(self, cpus: int) -> Call:
        data = self.record.data
        registers = {
            str(name): value
            for name, value in zip(data[::2], data[1::2], strict=True)
            if isinstance(value, int)
        }
        version = 0
        if self.op is not None and self.op.is_seamcall:
            version = dict(self.op.arguments).get("version", 0)
        return Call(
            self.record.cpu % cpus,
            BY_NUMBER[int(self.record.what)],
            version,
            registers,
            self.answer,
            "" if self.op is None else str(self.op),
            self.returned,
            self.begun,
        )


def calls_of(records: Sequence[Record], cpus: int) -> list[Call]:
    """The calls in the order in which they begin. A softirq's calls are those of its CPU."""
    ops: dict[int, Op] = {}
    open_calls: dict[int, _Begun] = {}
    calls: list[_Begun] = []
    returned: dict[int, int] = {}
    begun: dict[int, int] = {}
    for record in records:
        cpu = record.cpu % cpus
        if record.kind == "op":
            ops[cpu] = Op.parse(record.what)
        elif record.kind == "call":
            others = [{k: n for k, n in count.items() if k != cpu} for count in (returned, begun)]
            call = _Begun(record, ops.get(cpu), tuple(others))
            calls.append(call)
            open_calls[record.cpu] = call
            begun[cpu] = begun.get(cpu, 0) + 1
        elif record.kind == "return" and record.cpu in open_calls:
            word = record.data[0]
            assert isinstance(word, int)
            open_calls.pop(record.cpu).answer = word
            returned[cpu] = returned.get(cpu, 0) + 1
    return [call.whole(cpus) for call in calls]
