"""What a campaign has to say: verdicts of designs and checks, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from attrs import field, frozen

from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.store import CutOff, Store, StoredFinding
from tdxfuzz.check import C_CHECKS
from tdxfuzz.check.vacuous import never_happened
from tdxfuzz.run.cut_off import CUT_OFF
from tdxfuzz.run.session import checks_of

PASS, FAIL, UNKNOWN, ERROR = "pass", "fail", "unknown", "error"
NOT_WATCHED = "-"

EXIT = {PASS: 0, FAIL: 1, ERROR: 2, UNKNOWN: 3}


@frozen
class DesignSummary:
    """One design: what it was put through, and what came of it. ``seen`` counts, for each check,
    the cases in which what it watches for happened. ``in_c``: more checks listen to it. ``named``
    are the only ones that listen, if there are any; ``scenarios``: its programs were those of
    scenarios that the user named.
    """

    name: str
    cases: int
    steps: int
    schedules: int
    discarded: int
    features: int
    seen: Mapping[str, int]
    witnesses: Mapping[str, int]
    findings: tuple[StoredFinding, ...]
    cut_off: CutOff | None = None
    in_c: bool = False
    named: tuple[str, ...] = ()
    scenarios: bool = False

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that listened."""
        if self.named:
            return self.named
        return (*checks_of(self.name), *(C_CHECKS if self.in_c else ()))

    def cell(self, check: str) -> str:
        """``fail`` if it fired, ``pass`` if what it watches for happened and it did not,
        ``unknown`` if that never happened, ``-`` if it did not listen.
        """
        if check not in self.checks:
            return NOT_WATCHED
        if any(finding.check == check for finding in self.findings):
            return FAIL
        return PASS if self.seen.get(check) else UNKNOWN

    @property
    def verdict(self) -> str:
        """Of the design as a whole."""
        if any(finding.check != CUT_OFF for finding in self.findings):
            return FAIL
        if self.cut_off is not None:
            return ERROR
        if self.findings:
            return UNKNOWN
        return UNKNOWN if self._vacuous else PASS

    @property
    def error_file(self) -> str:
        """What shows the error that the design was cut off for, relative to the campaign's folder;
        "" if nothing does.
        """
        if self.cut_off is None or not self.cut_off.text:
            return ""
        return str(Folder(Path()).error(self.name, self.cut_off.bucket))

    @property
    def why(self) -> str:
        """What keeps the verdict from being better, or from being one."""
        if self.cut_off is not None:
            file = f"; reproducer: {self.error_file}" if self.error_file else ""
            return f"cut off: {self.cut_off.why}{file}"
        if not self.cases:
            return "not hunted yet"
        if self.findings and self.verdict == UNKNOWN:
            return f"{self.discarded:,} runs did not end"
        return f"vacuous: {self._vacuous}" if self._vacuous else ""

    @property
    def _vacuous(self) -> str:
        """Why nothing is shown though nothing was found; "" if something is."""
        if self.scenarios:
            return never_happened(
                self.name, self.named, [one for one in self.seen if self.seen[one]]
            )
        never = [check for check in self.checks if self.cell(check) == UNKNOWN]
        return f"{', '.join(never)} never had anything to check" if never else ""


@frozen
class Summary:
    """The whole campaign."""

    seconds: float
    cases: int
    steps: int
    features: int
    entries: int
    designs: tuple[DesignSummary, ...] = field(factory=tuple)

    @property
    def cases_per_second(self) -> float:
        """Over the whole time."""
        return self.cases / self.seconds if self.seconds else 0.0

    @cached_property
    def findings(self) -> tuple[StoredFinding, ...]:
        """Of all designs."""
        return tuple(finding for design in self.designs for finding in design.findings)

    @property
    def verdict(self) -> str:
        """The worst there is: a finding, a design that could not be hunted, too little seen."""
        verdicts = {design.verdict for design in self.designs}
        return next((v for v in (FAIL, ERROR, UNKNOWN) if v in verdicts), PASS)

    @property
    def exit_code(self) -> int:
        """As for all commands."""
        return EXIT[self.verdict]

    def document(self, folder: Folder) -> Mapping[str, object]:
        """As commands report it."""
        return {
            "verdict": self.verdict,
            "stats": {
                "seconds": round(self.seconds, 3),
                "cases": self.cases,
                "steps": self.steps,
                "cases_per_second": round(self.cases_per_second, 1),
                "features": self.features,
                "corpus": self.entries,
            },
            "designs": [
                {
                    "design": design.name,
                    "verdict": design.verdict,
                    "why": design.why,
                    "reproducer": str(folder.root / design.error_file)
                    if design.error_file
                    else None,
                    "cases": design.cases,
                    "distinct_schedules": design.schedules,
                    "discarded": design.discarded,
                    "features": design.features,
                    "checks": {check: design.cell(check) for check in design.checks},
                }
                for design in self.designs
            ],
            "findings": [
                {
                    "check": found.check,
                    "design": found.design,
                    "bucket": found.bucket,
                    "message": found.message,
                    "reproducer": str(folder.finding(found.design, found.bucket)),
                    "sightings": found.sightings,
                    "operations": found.operations,
                    "preemptions": found.preemptions,
                    "original_operations": found.original_operations,
                    "original_preemptions": found.original_preemptions,
                    "reliable": found.reliable,
                    "kept_because": found.kept_because,
                }
                for found in self.findings
            ],
        }


def summarise(store: Store) -> Summary:
    """Sum up a store.

    Raises:
        StoreError: it cannot be read.
    """
    totals = store.totals()
    settings = store.settings()
    findings = store.findings()
    cut_off = store.cut_offs()
    designs = []
    for subject in () if settings is None else settings.subjects:
        name = subject.name
        (sums,) = store.query(
            "SELECT coalesce(sum(cases), 0), coalesce(sum(steps), 0), coalesce(sum(schedules), 0),"
            " coalesce(sum(discarded), 0) FROM hunts WHERE design = ?",
            name,
        )
        cases, steps, schedules, discarded = (int(str(value)) for value in sums)
        ((features,),) = store.query("SELECT count(*) FROM features WHERE design = ?", name)
        designs.append(
            DesignSummary(
                name=name,
                cases=cases,
                steps=steps,
                schedules=schedules,
                discarded=discarded,
                features=int(str(features)),
                seen=_counts(store, "SELECT check_id, cases FROM seen WHERE design = ?", name),
                witnesses=_counts(
                    store, "SELECT witness, cases FROM witnesses WHERE design = ?", name
                ),
                findings=tuple(found for found in findings if found.design == name),
                cut_off=cut_off.get(name),
                in_c=subject.in_c,
                named=() if settings is None else settings.checks,
                scenarios=settings is not None and bool(settings.scenarios),
            )
        )
    return Summary(
        totals.seconds,
        totals.cases,
        totals.steps,
        totals.features,
        len(store.entry_names()),
        tuple(designs),
    )


def _counts(store: Store, sql: str, design: str) -> dict[str, int]:
    return {str(name): int(str(cases)) for name, cases in store.query(sql, design)}
