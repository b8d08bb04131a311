"""``tdxfuzz verify hostile``: SEAMCALLs that overlap, after each of a list of set-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, evolve, field

from tdxfuzz.case.hostile import SETUPS
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import STYLES, counts_document
from tdxfuzz.cli.verify_job import NOT_BEGUN, OUT_OF_TIME, Findings
from tdxfuzz.cli.workers import Stop, Tell
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.repro.words import counted
from tdxfuzz.run.session import SetupError
from tdxfuzz.verify.covers import Covers, covers
from tdxfuzz.verify.hostile_pairs import MOST_CALLS, SweepResult, overlaps, sweep
from tdxfuzz.verify.search import INTERRUPTED, Verdict
from tdxfuzz.verify.worklist import Bounds

PREEMPTIONS = 2
"""The default bound. With it all set-ups together take twenty minutes."""


@define
class SetupJob:
    """Calls that are combined after one set-up; a sweep that ended early does not go on."""

    design: Chosen
    scenario: str
    cpus: int
    bounds: Bounds
    output: Output
    variant: str = DEFAULT.name
    checks: tuple[str, ...] = ()
    begun: bool = False
    is_unfinished: bool = False
    result: SweepResult = field(factory=lambda: SweepResult(unfinished=NOT_BEGUN))
    _findings: list[Mapping[str, object]] = field(factory=list)

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def why(self) -> str:
        return self.result.unfinished

    @property
    def covers(self) -> Covers:
        case = hostile_case(self.scenario, self.cpus, ((),) * self.cpus, self.variant)
        return covers(evolve(case, checks=self.checks), self.bounds)

    def search(self, seconds: float | None, stop: Stop, tell: Tell) -> None:
        def progress(result: SweepResult) -> None:
            tell(f"hostile {self.scenario}: {_counts(self.cpus, result)}")

        self.begun = True
        self.result = SweepResult(unfinished=INTERRUPTED)
        try:
            bounds = evolve(self.bounds, seconds=seconds)
            cases = overlaps(self.scenario, self.cpus, self.variant, self.checks)
            self.result = sweep(cases, bounds, progress, stop)
        except SetupError as error:
            self.result.unfinished = str(error)
            return
        except KeyboardInterrupt:
            return
        if seconds is not None and self.result.counts.seconds >= seconds:
            self.result.unfinished = OUT_OF_TIME

    def keep(self) -> None:
        """Nothing is kept."""

    def told(self) -> SweepResult:
        return self.result

    def hear(self, told: SweepResult) -> None:
        self.begun, self.result = True, told

    def lose(self, why: str) -> None:
        self.begun, self.result = True, SweepResult(unfinished=why)

    def report(self, findings: Findings) -> None:
        self.output.line(self._summary(), style=STYLES[self.verdict])
        for bucket, run in self.result.firsts.items():
            self._findings.append(findings.add(run, bucket, self.design, self.scenario))

    def kind_of_verdict(self) -> str:
        buckets = counted(len(self.result.firsts), "bucket")
        verdict: str = self.verdict.value
        return f"FAIL ({buckets})" if self.verdict is Verdict.FAIL else verdict

    def document(self) -> Mapping[str, object]:
        return {
            "design": "hostile",
            "scenario": self.scenario,
            "verdict": self.verdict.value,
            "why": self.why,
            "bounds": str(self.bounds),
            "covers": self.covers.document(),
            "cases": self.result.cases,
            **counts_document(self.result.counts),
            "findings": self._findings,
        }

    def _summary(self) -> str:
        result = self.result
        why = f" ({result.unfinished})" if result.unfinished else ""
        buckets = f", {counted(len(result.firsts), 'bucket')}" if result.firsts else ""
        return (
            f"hostile {self.scenario}: {result.verdict.value}{why}: "
            f"{_counts(self.cpus, result)}, {self.bounds}, "
            f"{result.counts.seconds:.1f} s{buckets}"
        )


def setup_jobs(
    design: Chosen,
    names: Sequence[str],
    cpus: int,
    bounds: Bounds,
    output: Output,
    variant: str,
    checks: tuple[str, ...],
) -> list[SetupJob]:
    """A sweep for each of the set-ups of these names, or for all, on a variant of the module.

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
    return [
        SetupJob(design, name, cpus, bounds, output, variant, checks) for name in names or SETUPS
    ]


def _counts(cpus: int, result: SweepResult) -> str:
    together = "pair" if cpus == 2 else "triple"
    counts = result.counts
    return (
        f"{counted(result.cases, together)} of calls, {counts.states:,} states, "
        f"{counts.schedules:,} schedules"
    )
