"""The detailed views: every atomic step of a run, and the trace as JSON."""

from __future__ import annotations

import json

from tdxfuzz.abi import BY_NUMBER, status
from tdxfuzz.run.result import Run
from tdxfuzz.sim import Record


def steps(run: Run) -> str:
    """A traced run, one record a line: number, CPU, what was touched and how."""
    assert run.trace is not None
    rows = [f"{r.step:>6}  CPU {r.cpu}  {_text(r)}" for r in run.trace]
    for finding in run.findings:
        rows.append(f"{finding.step:>6}  CPU {finding.cpu}  ^ {finding.bucket}: {finding.message}")
    return "\n".join(rows) + "\n"


def _text(record: Record) -> str:
    if record.kind == "call":
        return f"call   {BY_NUMBER[int(record.what)]} {_registers(record.data)}"
    if record.kind == "return":
        word = record.data[0]
        assert isinstance(word, int)
        return (
            f"return {BY_NUMBER[int(record.what)]} = {status(word)} {_registers(record.data[1:])}"
        )
    if record.kind == "event":
        op, mode, ok = record.data
        return f"event  {op} {mode} {record.what}{'' if ok else ' FAILED'}"
    data = " ".join(str(item) for item in record.data)
    return f"{record.kind:6} {record.what} {data}".rstrip()


def _registers(data: tuple[object, ...]) -> str:
    pairs = zip(data[::2], data[1::2], strict=True)
    return " ".join(f"{name}={value:#x}" for name, value in pairs if value)


def as_json(run: Run) -> str:
    """A traced run as one JSON document."""
    assert run.trace is not None
    return json.dumps(
        {
            "design": run.case.design,
            "trace_hash": run.trace.hash(),
            "findings": [
                {
                    "bucket": finding.bucket,
                    "step": finding.step,
                    "cpu": finding.cpu,
                    "message": finding.message,
                }
                for finding in run.findings
            ],
            "records": [
                {"step": r.step, "cpu": r.cpu, "kind": r.kind, "what": r.what, "data": r.data}
                for r in run.trace
            ],
        },
        indent=1,
    )
