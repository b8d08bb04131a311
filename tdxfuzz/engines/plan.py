"""A hunt's plan: what to hunt, and when to stop.

A design is what the user chose. A plan is that design together with all that decides which cases
are run: the module variant, the CPUs, the engine, the seed and so on. The same plan gives the same
cases. A larger budget only adds cases.

Options that exclude each other are refused here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import FaultPattern, pattern_of
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.case.world import MAX_CPUS
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.portfolio import Portfolio
from tdxfuzz.generate.huge_programs import Huge
from tdxfuzz.module.variants import DEFAULT, VARIANTS, variant_of
from tdxfuzz.run.session import Design
from tdxfuzz.sim import Fault

HYPOTHESIS = "hypothesis"
"""The engine that :func:`tdxfuzz.testing.hypothesis_hunt.hunt_with_hypothesis` is."""

DEFAULT_CPUS = 2


class PlanError(ValueError):
    """Options of a plan that exclude each other, or one that is out of range.

    Args:
        options: all that take part, as the command line writes them: ``("--huge", "hostile")``.
        reason: one line for the user; the text of the error.
    """

    def __init__(self, options: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.options = options
        self.reason = reason


@frozen(kw_only=True)
class Budget:
    """When to stop: after so many seconds or cases, whichever comes first. None: no limit."""

    seconds: float | None = None
    cases: int | None = None

    def is_spent(self, seconds: float, cases: int) -> bool:
        """Whether a search that took so many seconds and ran so many cases must stop."""
        return (self.seconds is not None and seconds >= self.seconds) or (
            self.cases is not None and cases >= self.cases
        )

    def __str__(self) -> str:
        """``"up to 60 s or 500 cases"``."""
        parts = [] if self.seconds is None else [f"{self.seconds:g} s"]
        if self.cases is not None:
            parts.append(f"{self.cases} cases")
        return f"up to {' or '.join(parts)}" if parts else "without a limit"


@frozen
class HuntPlan:
    """What to hunt, and when to stop.

    Args:
        design_name: as it stands in cases: a built-in design, the name of the user's class, or
            "hostile" for raw SEAMCALLs without a host layer.
        budget: when to stop.
        design: the user's class, if the design is not built in.
        engine: name of what chooses the orders: one of :data:`tdxfuzz.engines.ENGINES`, or
            "hypothesis".
        seed: of the random generator.
        cpus: CPUs of each world. None: those of the scenario, or two.
        scenario: its programs are run. None: programs are drawn.
        huge: how many of the programs have 2MB pages, where programs are drawn. None: some.
        faults: as people write them (:mod:`tdxfuzz.case.faults`). Those that say which call
            (``@N``) strike in each case; one or two of the others do.
        variant: of the module, by name. If it is 1.5.25, a scenario keeps its own.
        checks: the only checks that listen. None named: all of the design's.

    Raises:
        PlanError: options exclude each other, or one is unknown or out of range.
    """

    design_name: str
    budget: Budget
    design: Design = None
    engine: str = Portfolio.name
    seed: int = 1
    cpus: int | None = None
    scenario: Scenario | None = None
    huge: Huge | None = None
    faults: tuple[str, ...] = ()
    variant: str = DEFAULT.name
    checks: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        self._check_values()
        self._check_clashes()

    def _check_values(self) -> None:
        engines = (*ENGINES, HYPOTHESIS)
        if self.engine not in engines:
            raise _unknown("--engine", self.engine, engines)
        if variant_of(self.variant) is None:
            raise _unknown("--module-variant", self.variant, VARIANTS)
        for text in self.faults:
            try:
                pattern_of(text)
            except ValueError as error:
                raise PlanError(("--faults",), f"--faults {text}: {error}") from None
        if self.cpus is not None and not 1 <= self.cpus <= MAX_CPUS:
            raise PlanError(("--cpus",), f"--cpus {self.cpus}: from 1 to {MAX_CPUS}")

    def _check_clashes(self) -> None:
        hostile, hypothesis = self.is_hostile, self.engine == HYPOTHESIS
        scenario = self.scenario
        if hostile and scenario is not None and not scenario.is_raw:
            raise PlanError(
                (HOSTILE, "--scenario"),
                f"{HOSTILE} takes no --scenario whose programs are more than raw SEAMCALLs, and "
                f"{scenario.name} has host operations; leave it out, or name a design",
            )
        if self.huge is not None and (scenario is not None or hostile or hypothesis):
            raise PlanError(
                ("--huge", "--scenario", HOSTILE, "--engine"),
                f"--huge draws its own programs; use it without --scenario, {HOSTILE} and "
                f"--engine {HYPOTHESIS}",
            )
        if self.faults and (hostile or hypothesis):
            raise PlanError(
                ("--faults", HOSTILE, "--engine"),
                f"--faults works only without {HOSTILE} and --engine {HYPOTHESIS}",
            )
        if scenario is not None and self.cpus not in (None, scenario.world.cpus):
            raise PlanError(
                ("--cpus", "--scenario"),
                f"--cpus {self.cpus} does not go with --scenario {scenario.name}: it has "
                f"{scenario.world.cpus} CPUs",
            )

    @property
    def is_hostile(self) -> bool:
        """Whether raw SEAMCALLs are hunted. Then a finding does not end the hunt."""
        return self.design_name == HOSTILE

    @property
    def world_cpus(self) -> int:
        """CPUs of each world."""
        if self.cpus is not None:
            return self.cpus
        return DEFAULT_CPUS if self.scenario is None else self.scenario.world.cpus

    @property
    def patterns(self) -> tuple[FaultPattern, ...]:
        """The faults of which some strike in each case."""
        return tuple(one for one in map(pattern_of, self.faults) if one.fault is None)

    @property
    def fixed_faults(self) -> tuple[Fault, ...]:
        """Those that strike in each case."""
        own = [one.fault for one in map(pattern_of, self.faults)]
        given = () if self.scenario is None else self.scenario.faults
        return tuple(dict.fromkeys((*given, *(fault for fault in own if fault is not None))))

    def new_engine(self) -> Engine:
        """A fresh engine.

        Raises:
            PlanError: the engine is Hypothesis, which draws the programs as well.
        """
        if self.engine == HYPOTHESIS:
            raise PlanError(("--engine",), f"{HYPOTHESIS} does not choose orders alone")
        return ENGINES[self.engine]()

    def prepared(self, case: Case) -> Case:
        """A case on the module variant of the plan, with the plan's checks alone listening."""
        variant = self.variant
        if variant == DEFAULT.name and self.scenario is not None:
            variant = self.scenario.world.module_variant
        if case.world.module_variant != variant:
            case = case.on_module(variant)
        return evolve(case, checks=self.checks) if self.checks else case


def _unknown(option: str, name: str, known: Iterable[str]) -> PlanError:
    return PlanError((option,), f"{option} {name}: unknown; known: {', '.join(known)}")
