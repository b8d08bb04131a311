"""A trace as lines for people: calls, counts and locks, with short names for ranges and pages."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from tdxfuzz.abi import BY_NUMBER, Status, status
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.case.operation import Op
from tdxfuzz.host.layout import Layout
from tdxfuzz.module.codes import REMOVAL_HINT
from tdxfuzz.run.result import Run
from tdxfuzz.sim import Record, Trace

ADDRESS = 0x0000_FFFF_FFFF_F000


@frozen
class Line:
    """One action of a CPU. ``kind`` is ``op``, ``call``, ``host``, ``wait`` or ``mark``; ``place``
    is where in a source file it comes from, if that is known.
    """

    step: int
    cpu: int
    kind: str
    text: str
    place: str = ""


class _Cpu:
    """The state of a CPU while its records are read."""

    def __init__(self) -> None:
        self.op: Op | None = None
        self.call: Record | None = None
        self.place = ""
        self.shown = False


def lines_of(run: Run) -> list[Line]:
    """The lines of a traced run up to its last finding, which is marked.

    Raises:
        ValueError: the run kept no trace.
    """
    if run.trace is None:
        raise ValueError("the run kept no trace")
    cpus = run.case.world.cpus
    lines = [_in_column(line, cpus) for line in _fold(_read(run.layout, run.trace))]
    if run.finding is None:
        return lines
    last = max(finding.step for finding in run.findings)
    shown = [line for line in lines if line.step <= last]
    while shown and shown[-1].kind == "op":
        shown.pop()
    cpu = shown[-1].cpu if shown else 0
    mark = f"^ {run.finding.check}: {run.finding.message} (design: {run.case.design})"
    return [*shown, Line(last, cpu, "mark", mark)]


def _in_column(line: Line, cpus: int) -> Line:
    """Put the lines of a softirq into the column of its CPU."""
    if line.cpu < cpus:
        return line
    return evolve(line, cpu=line.cpu - cpus, text=f"softirq: {line.text}")


def _read(layout: Layout, trace: Trace) -> Iterator[Line]:
    cpus: dict[int, _Cpu] = {}
    records = trace.records
    for i, record in enumerate(records):
        place = trace.places.get(i, "")
        cpu = cpus.setdefault(record.cpu, _Cpu())
        if record.kind == "op":
            cpu.op = Op.parse(record.what)
            if not cpu.op.is_seamcall:
                yield Line(record.step, record.cpu, "op", describe_op(layout, cpu.op))
        elif record.kind == "call":
            cpu.call, cpu.place = record, place
            cpu.shown = _is_interrupted(records, i)
            if cpu.shown:
                name = _call_text(layout, cpu.op, record, None)
                yield Line(record.step, record.cpu, "call", f"{name} begins", place)
        elif record.kind == "return" and cpu.call is not None:
            text = _call_text(layout, cpu.op, cpu.call, record)
            word = status(_number(record.data[0]))
            hint = ", hint: count 0" if word.ok and _has_hint(record) else ""
            text = f"… {text}" if cpu.shown else text
            yield Line(record.step, record.cpu, "call", f"{text} = {word}{hint}", cpu.place)
            cpu.call = None
        elif (
            record.kind in ("atomic", "get", "put", "print", "warn", "block")
            or "lock" in record.kind
        ):
            text = _host_text(layout, record)
            if text:
                kind = "wait" if record.kind == "block" else "host"
                yield Line(record.step, record.cpu, kind, text, place)


def _is_interrupted(records: list[Record], call: int) -> bool:
    """Whether another CPU has a line before this call returns."""
    cpu = records[call].cpu
    for record in records[call + 1 :]:
        if record.cpu == cpu and record.kind == "return":
            return False
        if record.cpu != cpu and record.kind in ("call", "return", "op", "atomic"):
            return True
    return True


def describe_op(layout: Layout, op: Op) -> str:
    """An operation with its page: ``map TD1 page A16``; a raw SEAMCALL as it is."""
    if op.is_seamcall:
        return str(op)
    if len(op.args) == 1:
        return f"{op.name} TD{op.args[0]}"
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
        case "warn":
            return f"WARN: {record.data[2]}"
        case "block":
            return f"waits for {record.what}"
        case _:
            return f"{record.kind} {record.what}"


def _fold(lines: Iterator[Line]) -> Iterator[Line]:
    """Leave out VM bookkeeping, and fold repeated calls of one kind into one line."""
    pending: Line | None = None
    count = 0
    for line in lines:
        if (line.kind == "host" and line.text.startswith("vm")) or "lock vm" in line.text:
            continue
        same = (
            pending is not None
            and line.kind == pending.kind == "call"
            and line.cpu == pending.cpu
            and _shape(line.text) == _shape(pending.text)
        )
        if same:
            count += 1
            continue
        if pending is not None:
            yield _repeated(pending, count)
        pending, count = line, 1
    if pending is not None:
        yield _repeated(pending, count)


def _repeated(line: Line, count: int) -> Line:
    return line if count == 1 else evolve(line, text=f"{line.text} (and {count - 1} more)")


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
