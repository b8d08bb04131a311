"""Records of a trace as lines for people: calls, counts and locks, with short names for ranges
and pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve, field, frozen

from tdxfuzz.abi import BY_NUMBER, Status, status
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.case.guest_script import script_text
from tdxfuzz.case.names import with_names
from tdxfuzz.case.operation import RUN_OPERATIONS, Op
from tdxfuzz.host.layout import Layout
from tdxfuzz.module.codes import REMOVAL_HINT
from tdxfuzz.repro.answers import ANSWER, OPEN, Answers
from tdxfuzz.repro.named_ranges import ranges_in
from tdxfuzz.sim import Record

ADDRESS = 0x0000_FFFF_FFFF_F000


@frozen
class Line:
    """One action of a CPU.

    ``step`` is None for one of the set-up. ``kind`` is ``op``, ``call``, ``host``, ``wait``,
    ``fold`` or ``mark``. ``calls`` is how many SEAMCALLs, gets and puts it names;
    ``ranges`` are the 2MB ranges that it is about. ``answer`` is how a SEAMCALL went, a word of
    :mod:`tdxfuzz.repro.answers`. ``source`` is the line of the design's code, if it is known.
    ``record`` is the record of the trace that it ends with.
    """

    step: int | None
    cpu: int
    kind: str
    text: str
    calls: int = 0
    ranges: frozenset[str] = frozenset()
    answer: str = ""
    source: str = ""
    record: Record | None = field(default=None, eq=False, repr=False)


class _Cpu:
    """The state of a CPU while its records are read."""

    def __init__(self) -> None:
        self.op: Op | None = None
        self.call: Record | None = None
        self.shown = False
        self.inside: list[str] = []
        """Ranges of the pages whose get or put is under way."""


def read_lines(layout: Layout, records: Sequence[Record], answers: Answers) -> list[Line]:
    """The lines of records, in their order."""
    lines = _read(layout, records, answers)
    return list(_without_repeats(line for line in lines if not _is_bookkeeping(line)))


def _read(layout: Layout, records: Sequence[Record], answers: Answers) -> Iterator[Line]:
    cpus: dict[int, _Cpu] = {}
    for i, record in enumerate(records):
        cpu = cpus.setdefault(record.cpu, _Cpu())
        for line in _lines_of_record(layout, records, i, cpu, answers):
            ranges = ranges_in(line.text) or frozenset(cpu.inside[-1:])
            yield evolve(line, source=record.source, ranges=ranges, record=record)


def _lines_of_record(
    layout: Layout, records: Sequence[Record], i: int, cpu: _Cpu, answers: Answers
) -> Iterator[Line]:
    """The line of a record, if it has one."""
    record = records[i]
    step, kind = record.step, record.kind
    if kind == "op":
        cpu.op = Op.parse(record.what)
        if not cpu.op.is_seamcall:
            yield Line(step, record.cpu, "op", describe_op(layout, cpu.op))
    elif kind == "call":
        cpu.call = record
        cpu.shown = _is_interrupted(records, i)
        if cpu.shown:
            name = _call_text(layout, cpu.op, record, None)
            yield Line(step, record.cpu, "call", f"{name} begins", 1, answer=OPEN)
    elif kind == "return" and cpu.call is not None:
        text = _call_text(layout, cpu.op, cpu.call, record)
        word = status(_number(record.data[0]))
        hint = ", hint: count 0" if word.ok and _has_hint(record) else ""
        text = f"… {text}" if cpu.shown else text
        answer = answers.of(records, i, word)
        yield Line(step, record.cpu, "call", f"{text}{ANSWER}{word}{hint}", 1, answer=answer)
        cpu.call = None
    elif kind == "enter":
        cpu.inside.append(layout.name_of_range(hpa_of(_number(record.data[0]))))
        if record.data[1] == "get" and not _left(records, i):
            page = layout.name_of_page(hpa_of(_number(record.data[0])))
            yield Line(step, record.cpu, "host", f"get({page}) begins", 1)
    elif kind == "leave" and cpu.inside:
        cpu.inside.pop()
    elif kind in ("atomic", "get", "put", "print", "warn", "work", "block") or "lock" in kind:
        text = _host_text(layout, record)
        if text:
            line_kind = "wait" if kind == "block" else "host"
            yield Line(step, record.cpu, line_kind, text, int(kind in ("get", "put")))


def _is_interrupted(records: Sequence[Record], call: int) -> bool:
    """Whether another CPU has a line before this call returns, or the call never does."""
    cpu = records[call].cpu
    for record in records[call + 1 :]:
        if record.cpu == cpu and record.kind == "return":
            return False
        if record.cpu != cpu and record.kind in ("call", "return", "op", "atomic"):
            return True
    return True


def _left(records: Sequence[Record], enter: int) -> bool:
    """Whether the design returned from the call that begins with a record."""
    begun = records[enter]
    return any(
        record.kind == "leave" and record.cpu == begun.cpu and record.data == begun.data
        for record in records[enter + 1 :]
    )


def describe_op(layout: Layout, op: Op) -> str:
    """An operation with its page: ``map TD1 page A16``; a raw SEAMCALL as it is."""
    if op.is_seamcall:
        return str(op)
    if len(op.args) == 1:
        return f"{op.name} TD{op.args[0]}"
    if op.name in RUN_OPERATIONS:
        _, vcpu, last = op.args
        what = script_text(last) if op.name == "enter" else f"to CPU {last}"
        return f"{op.name} TD{op.args[0]} vCPU {vcpu}: {what}"
    td, number = op.args
    if op.arguments[1][0] == "area":
        area = layout.name_of_range(hpa_of(layout.area_pfn(td, number)))
        return f"{op.name} TD{td} range {area}"
    page = layout.name_of_page(hpa_of(layout.guest_pfn(td, number)))
    return f"{op.name} TD{td} page {page}"


def _call_text(layout: Layout, op: Op | None, call: Record, ret: Record | None) -> str:
    leaf = BY_NUMBER[int(call.what)]
    if op is not None and op.is_seamcall:
        return f"{leaf.name}({str(op).removeprefix(leaf.name).strip()})"
    regs = _registers(call.data)
    td = f"TD{op.args[0]}" if op is not None else ""
    word = status(_number(ret.data[0])) if ret is not None else None
    operands = _operands(layout, leaf.identifier, regs, td, word)
    return f"{leaf.name}({operands})"


def _operands(layout: Layout, leaf: str, regs: dict[str, int], td: str, word: Status | None) -> str:
    page, range_ = layout.name_of_page, layout.name_of_range
    rcx, rdx, r8 = regs.get("rcx", 0), regs.get("rdx", 0), regs.get("r8", 0)
    match leaf:
        case "PHYMEM_PAMT_ADD":
            pages = f"; {page(rdx)} {page(r8)}"
            show = word is None or word.operand in ("RDX", "R8")
            return range_(rcx & ADDRESS) + (pages if show else "")
        case "PHYMEM_PAMT_REMOVE":
            return range_(rcx & ADDRESS)
        case "MEM_PAGE_AUG":
            return f"{td} {range_(r8) if rcx & 7 else page(r8)}"
        case "MEM_SEPT_ADD":
            return f"{td} level {rcx & 7}, {page(r8)}"
        case "MEM_RANGE_BLOCK" | "MEM_PAGE_REMOVE":
            hpa = hpa_of(layout.pfn_of(int(td[2:]), rcx & ADDRESS))
            return f"{td} {range_(hpa) if rcx & 7 else page(hpa)}"
        case "MEM_PAGE_DEMOTE" | "MEM_PAGE_PROMOTE" | "MEM_RANGE_UNBLOCK":
            hpa = hpa_of(layout.pfn_of(int(td[2:]), rcx & ADDRESS))
            show = leaf == "MEM_PAGE_DEMOTE" and (word is None or word.operand in ("R12", "R13"))
            pages = f"; {page(regs.get('r12', 0))} {page(regs.get('r13', 0))}" if show else ""
            return f"{td} {range_(hpa)}{pages}"
        case "MNG_CREATE" | "MNG_ADDCX":
            return f"{td} {page(rcx)}"
        case "PHYMEM_PAGE_RECLAIM" | "PHYMEM_PAGE_WBINVD" | "PHYMEM_PAGE_RDMD":
            return page(rcx & ((1 << 40) - 1) & ADDRESS)
        case "PHYMEM_CACHE_WB":
            return ""
        case _:
            return td


def _host_text(layout: Layout, record: Record) -> str:
    match record.kind:
        case "atomic":
            what, result, new = record.data
            if what == "read":
                return f"{record.what}: read {new}"
            answer = "" if not isinstance(result, bool) else ": yes" if result else ": no"
            return f"{record.what}: {what}{answer}, now {new}"
        case "get":
            page = layout.name_of_page(hpa_of(_number(record.data[0])))
            result = record.data[2] if len(record.data) > 2 else "0"
            return f"get({page}) = {result}"
        case "put":
            page = layout.name_of_page(hpa_of(_number(record.data[0])))
            hint = f", {record.data[2]}" if len(record.data) > 2 else ""
            return f"put({page}{hint})"
        case "print":
            return f"prints: {record.data[1]}"
        case "work":
            return f"{record.what} {record.data[0]}"
        case "warn":
            return f"WARN: {record.data[2]}"
        case "block":
            return f"waits for {with_names(record.what)}"
        case _:
            return f"{record.kind} {with_names(record.what)}"


def _is_bookkeeping(line: Line) -> bool:
    """Whether a line is about what KVM keeps of a VM: its locks and counts."""
    return (line.kind == "host" and line.text.startswith("vm")) or "lock vm" in line.text


def _without_repeats(lines: Iterator[Line]) -> Iterator[Line]:
    """Put repeated calls of one kind into one line."""
    pending: Line | None = None
    count = 0
    for line in lines:
        same = (
            pending is not None
            and line.kind == pending.kind == "call"
            and line.cpu == pending.cpu
            and line.ranges == pending.ranges
            and _shape(line.text) == _shape(pending.text)
        )
        if same and pending is not None:
            count += 1
            pending = evolve(pending, record=line.record)
            continue
        if pending is not None:
            yield _repeated(pending, count)
        pending, count = line, 1
    if pending is not None:
        yield _repeated(pending, count)


def _repeated(line: Line, count: int) -> Line:
    return (
        line
        if count == 1
        else evolve(line, text=f"{line.text} (and {count - 1} more)", calls=count)
    )


def _shape(text: str) -> tuple[str, str]:
    """Leaf and result of a call's line, without its operands."""
    return text.partition("(")[0], text.rpartition(")")[2]


def _registers(data: tuple[object, ...]) -> dict[str, int]:
    return {str(name): _number(value) for name, value in zip(data[::2], data[1::2], strict=True)}


def _has_hint(record: Record) -> bool:
    regs = _registers(record.data[1:])
    return bool(regs["rcx"] & REMOVAL_HINT or regs["r9"] & REMOVAL_HINT) and regs["rcx"] >> 63 == 0


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
