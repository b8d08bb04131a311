"""One scenario under one design, searched by ``tdxfuzz verify``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from attrs import define, evolve, field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import text_of
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import STYLES, counts_document
from tdxfuzz.cli.verify_job import NOT_BEGUN, OUT_OF_TIME, Findings
from tdxfuzz.cli.workers import Stop, Tell
from tdxfuzz.host.design_file import digest_of, split
from tdxfuzz.module.variants import variant_file_of
from tdxfuzz.repro.words import counted
from tdxfuzz.repro.write import case_to_toml
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import OutOfTime, time_limit
from tdxfuzz.verify.checkpoint import CheckpointError, load, save
from tdxfuzz.verify.covers import Covers, covers
from tdxfuzz.verify.out_of_time import OutOfTimeInRun, out_of_time
from tdxfuzz.verify.search import (
    INTERRUPTED,
    Verdict,
    VerifyResult,
    verify,
)
from tdxfuzz.verify.worklist import Bounds, SearchCounts, Worklist

TOLD = 16
"""Digits of a digest that tell one file from another."""

LONGER = 2.0
"""Seconds for a run that the time was over in: most runs that do not end take one."""

SLACK = 1.0
"""Seconds that a run may take when the time is over: it is stopped then, and the search is lost."""


@frozen
class Checkpoint:
    """The file in which an unfinished search is kept, and what it must be of."""

    path: Path
    identity: str

    @classmethod
    def of(
        cls, folder: Path, design: Chosen, scenario: Scenario, case: Case, bounds: Bounds
    ) -> Checkpoint:
        """The file of a scenario under a design in a folder."""
        cpus, variant, name = case.world.cpus, case.world.module_variant, scenario.name
        whole = case_to_toml(case, None, f"checks: {case.checks}")
        # A file may say something else by the next time.
        digests = {"case": hashlib.sha256(whole.encode()).hexdigest()}
        if design.file is not None:
            digests["design"] = design.file.sha256
        if design.kvm is not None:
            digests["KVM"] = digest_of(split(design.kvm.argument)[0])
        if (file := variant_file_of(variant)) is not None:
            digests["variant"] = file.sha256
        told = ", ".join(f"{what} {digest[:TOLD]}" for what, digest in digests.items())
        identity = f"{design.name} {name} {cpus} CPUs, {bounds}, {variant}, {told}"
        return cls(folder / f"{design.name}-{name}-{cpus}.verify.gz", identity)


@frozen
class Told:
    """What a job tells of a search. ``continued`` is how many states its checkpoint had, and
    ``is_kept`` tells whether it leaves one.
    """

    result: VerifyResult
    is_unfinished: bool
    continued: int | None
    is_kept: bool


@define
class ScenarioJob:
    """A search that can go on, and its result so far.

    What it remembers is not whole, and not kept, if an exception has ended it within a run.
    With ``tables``, code is not run again where it is known what it does.
    ``bounds`` are without time: each call of :meth:`search` has its own, ``enough`` if the command
    line gives no bound at all.
    """

    design: Chosen
    scenario: str
    case: Case
    bounds: Bounds
    output: Output
    enough: float | None
    checkpoint: Checkpoint | None
    result: VerifyResult
    tables: bool = True
    begun: bool = False
    is_unfinished: bool = False
    _continued: int | None = None
    _is_kept: bool = False
    _is_whole: bool = True
    _worklist: Worklist = field(factory=Worklist)
    _counts: SearchCounts = field(factory=SearchCounts)
    _findings: list[Mapping[str, object]] = field(factory=list)
    _cut_off: list[str] = field(factory=list)

    @classmethod
    def new(
        cls,
        design: Chosen,
        scenario: Scenario,
        case: Case,
        bounds: Bounds,
        output: Output,
        enough: float | None,
        folder: Path | None,
        tables: bool = True,
    ) -> ScenarioJob:
        """A search that has not begun; ``folder`` keeps checkpoints, if it is given."""
        kept = None if folder is None else Checkpoint.of(folder, design, scenario, case, bounds)
        result = VerifyResult(Verdict.UNKNOWN, bounds, SearchCounts(), why=NOT_BEGUN)
        return cls(design, scenario.name, case, bounds, output, enough, kept, result, tables)

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def why(self) -> str:
        return self.result.why

    @property
    def covers(self) -> Covers:
        return covers(self.case, self.bounds, self.design.design)

    @property
    def ends(self) -> bool | str | None:
        """Whether every order ends; within a bound on preemptions only that is known."""
        bounded = self.bounds.preemptions is not None
        return "within-bound" if self.result.ends and bounded else self.result.ends

    def search(self, seconds: float | None, stop: Stop, tell: Tell) -> None:
        """Begin, or go on.

        Raises:
            UsageProblem: the checkpoint is not of this search, or cannot be read.
            HarnessError: the design misused the harness, or raised.
        """
        if not self.begun and self.checkpoint is not None:
            self._continue_from(self.checkpoint)
        self.begun = True
        longest = self.enough if seconds is None else seconds
        until = None if longest is None else self._counts.seconds + longest
        bounds = evolve(self.bounds, seconds=until)

        def progress(counts: SearchCounts, todo: int) -> None:
            tell(
                f"{self.design.name} {self.scenario}: {counts.states:,} states, "
                f"{counts.transitions:,} transitions, {counts.schedules:,} schedules, "
                f"{todo:,} to do"
            )

        try:
            with time_limit(None if longest is None else longest + SLACK):
                result = verify(
                    self.case,
                    self.design.design,
                    bounds,
                    progress,
                    self._worklist,
                    self._counts,
                    stop=stop,
                    # They are not in a checkpoint.
                    tables=self.tables and self.checkpoint is None,
                )
        except OutOfTime as over:
            self._is_whole = False
            cut_off = self._without_end(over.run) if isinstance(over, OutOfTimeInRun) else None
            result = VerifyResult(
                Verdict.UNKNOWN, bounds, self._counts, why=OUT_OF_TIME, cut_off=cut_off
            )
        except KeyboardInterrupt:
            self._is_whole = False
            result = VerifyResult(Verdict.UNKNOWN, bounds, self._counts, why=INTERRUPTED)
        timed_out = until is not None and result.why == out_of_time(until)
        self.is_unfinished = timed_out and result.verdict is Verdict.UNKNOWN
        if timed_out and seconds is not None:
            result = evolve(result, why=OUT_OF_TIME)
        self.result = result

    def keep(self) -> None:
        checkpoint = self.checkpoint
        if checkpoint is None or not self._is_whole:
            return
        if self._goes_on_later():
            checkpoint.path.parent.mkdir(parents=True, exist_ok=True)
            save(checkpoint.path, checkpoint.identity, self._worklist, self._counts)
        else:
            checkpoint.path.unlink(missing_ok=True)

    def told(self) -> Told:
        return Told(self.result, self.is_unfinished, self._continued, self._goes_on_later())

    def hear(self, told: Told) -> None:
        self.begun = True
        self.result, self.is_unfinished = told.result, told.is_unfinished
        self._continued, self._is_kept = told.continued, told.is_kept

    def lose(self, why: str) -> None:
        self.begun = True
        self.result = VerifyResult(Verdict.UNKNOWN, self.bounds, SearchCounts(), why=why)

    def _goes_on_later(self) -> bool:
        """Whether the checkpoint is of use."""
        return (
            self.checkpoint is not None
            and self._is_whole
            and self.verdict is Verdict.UNKNOWN
            and bool(self._worklist.todo)
        )

    def report(self, findings: Findings) -> None:
        """Print the verdict and the finding."""
        path = None if self.checkpoint is None else self.checkpoint.path
        if self._continued is not None:
            self.output.line(f"{self.scenario}: continued from {path}, {self._continued:,} states")
        self.output.line(self._summary(), style=STYLES[self.verdict])
        found = self.result.found
        if found is not None and found.finding is not None:
            bucket = found.finding.bucket
            self._findings.append(findings.add(found, bucket, self.design, self.scenario))
        if self.result.cut_off is not None and self.result.cut_off.cut_off is not None:
            self._cut_off = findings.add_cut_off(self.result.cut_off, self.design)
        if self._is_kept:
            self.output.line(
                f"{self.scenario}: unfinished, kept in {path}; the same command continues it"
            )

    def kind_of_verdict(self) -> str:
        found = self.result.found
        if self.verdict is Verdict.FAIL and found is not None and found.finding is not None:
            kind = "" if self.result.loop is None else f" ({self.result.loop.value})"
            return f"FAIL {found.finding.check}{kind}"
        if self.result.starves:
            return "pass (starves, as declared)"
        return self.verdict.value

    def document(self) -> Mapping[str, object]:
        return {
            "design": self.design.name,
            "scenario": self.scenario,
            "verdict": self.verdict.value,
            "why": self.why,
            "bounds": str(self.bounds),
            "covers": self.covers.document(),
            "ends": self.ends,
            "loop": None if self.result.loop is None else self.result.loop.value,
            "starves": self.result.starves,
            "engine": self.result.engine,
            **counts_document(self.result.counts),
            "not_met": [] if self.verdict is Verdict.FAIL else self._unmet(),
            "final_states": len(self.result.counts.finals),
            "findings": self._findings,
            "cut_off": self._cut_off,
        }

    def _without_end(self, stopped: Run) -> Run | None:
        """The run that the time was over in, if it does not end: then one order took the time.
        Without a search around it a run costs little, so it may take so much more time.
        """
        try:
            with time_limit(LONGER):
                longer = run(stopped.case, self.design.design)
        except OutOfTime:
            return None
        return longer if longer.cut_off is not None else None

    def _unmet(self) -> list[str]:
        """The case's faults whose occasion has come in no order yet."""
        return [text for text in map(text_of, self.case.faults) if text not in self._counts.met]

    def _continue_from(self, checkpoint: Checkpoint) -> None:
        path = checkpoint.path
        if path.exists():
            try:
                self._worklist, self._counts = load(path, checkpoint.identity)
            except CheckpointError as error:
                raise UsageProblem(f"{error}; remove the file to start again") from None
            self._continued = self._counts.states

    def _summary(self) -> str:
        result, counts = self.result, self.result.counts
        why = f" ({result.why})" if result.why else ""
        if result.loop is not None:
            why = f" ({result.loop.value}: some orders do not end)"
        elif result.starves:
            why = " (some orders do not end, as the design declares)"
        elif result.ends and self.bounds.preemptions is None:
            why = " (every order ends)"
        elif result.ends:
            why = " (every order within the bound ends)"
        return (
            f"{self.design.name} {self.scenario}: {result.verdict.value}{why}: {self.bounds}, "
            f"{counted(counts.states, 'state')}, {counted(counts.transitions, 'transition')}, "
            f"{counted(counts.schedules, 'schedule')}, depth {counts.depth}, "
            f"{counted(len(counts.finals), 'final state')}, {counts.seconds:.1f} s"
        )
