"""``tdxfuzz verify hostile``: SEAMCALLs that overlap, after each of a list of set-ups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tdxfuzz.case.hostile import SETUPS
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import (
    STYLES,
    counts_document,
    finding_document,
    write_finding,
)
from tdxfuzz.repro.save import Saved
from tdxfuzz.repro.words import counted
from tdxfuzz.verify.hostile_pairs import MOST_CALLS, SweepResult, overlaps, sweep
from tdxfuzz.verify.search import Verdict
from tdxfuzz.verify.worklist import Bounds

PREEMPTIONS = 2
"""The default bound. With it all set-ups together take twenty minutes."""


@frozen
class HostileResult:
    """The result of one set-up: calls that were combined after it."""

    setup: str
    bounds: Bounds
    result: SweepResult
    saved: Sequence[Saved]

    @property
    def verdict(self) -> Verdict:
        """Of the set-up."""
        return self.result.verdict

    def document(self) -> Mapping[str, object]:
        """With the keys that results of designs have."""
        return {
            "design": "hostile",
            "scenario": self.setup,
            "verdict": self.verdict.value,
            "why": self.result.unfinished,
            "bounds": str(self.bounds),
            "cases": self.result.cases,
            **counts_document(self.result.counts),
            "findings": [finding_document(saved) for saved in self.saved],
        }


def verify_hostile(
    design: Chosen, names: Sequence[str], cpus: int, bounds: Bounds, out: Path, output: Output
) -> Iterator[HostileResult]:
    """Sweep the set-ups of these names, or all. A bucket is written when it is first met.

    Raises:
        UsageProblem: an unknown set-up, or more CPUs than calls are combined.
    """
    if cpus > MOST_CALLS:
        raise UsageProblem(
            f"hostile combines two or {MOST_CALLS} calls, one on each CPU; use --cpus 2 or 3"
        )
    for name in names:
        if name not in SETUPS:
            raise unknown("set-up", name, SETUPS)
    written: set[str] = set()
    for name in names or SETUPS:
        result = _sweep(name, cpus, bounds, output)
        saved = []
        output.line(_summary(name, cpus, bounds, result), style=STYLES[result.verdict])
        for bucket, run in result.firsts.items():
            if bucket in written:
                output.line(f"  {bucket}: found here too")
                continue
            written.add(bucket)
            saved.append(write_finding(run, design, out, output))
        yield HostileResult(name, bounds, result, saved)
        if result.unfinished == "interrupted":
            break


def _sweep(name: str, cpus: int, bounds: Bounds, output: Output) -> SweepResult:
    def progress(result: SweepResult) -> None:
        output.progress(f"hostile {name}: {_counts(cpus, result)}")

    return sweep(overlaps(name, cpus), bounds, progress)


def _summary(name: str, cpus: int, bounds: Bounds, result: SweepResult) -> str:
    why = f" ({result.unfinished})" if result.unfinished else ""
    buckets = f", {counted(len(result.firsts), 'bucket')}" if result.firsts else ""
    return (
        f"hostile {name}: {result.verdict.value}{why}: {_counts(cpus, result)}, {bounds}, "
        f"{result.counts.seconds:.1f} s{buckets}"
    )


def _counts(cpus: int, result: SweepResult) -> str:
    together = "pair" if cpus == 2 else "triple"
    counts = result.counts
    return (
        f"{counted(result.cases, together)} of calls, {counts.states:,} states, "
        f"{counts.schedules:,} schedules"
    )
