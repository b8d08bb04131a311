"""``tdxfuzz hunt --engine hypothesis``: a hunt in which Hypothesis chooses the cases."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.engines.events import HuntListener
from tdxfuzz.engines.hunt import Budget, HuntLog, HuntResult, orders_of
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, checks_of
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.testing.strategies import programs, schedules

FOREVER = 100_000_000


class _Enough(BaseException):
    """Leaves Hypothesis at once; it would shrink, and we have a shrinker."""


def hunt_with_hypothesis(
    design_name: str,
    hunt_seed: int,
    budget: Budget,
    cpus: int = 2,
    design: Design = None,
    listeners: Sequence[HuntListener] = (),
    scenario: Scenario | None = None,
    variant: str = DEFAULT.name,
) -> HuntResult:
    """As :func:`tdxfuzz.engines.hunt.hunt`, with Hypothesis as the source of cases.

    Raises:
        HarnessError: the design misused the harness or raised.
    """
    hostile = design_name == HOSTILE
    statistics = Statistics(checks_of(design_name))
    noted = HuntLog(statistics, listeners)
    enough = False
    worlds = Worlds(design)
    choices = programs(design_name, cpus)
    if scenario is not None:
        choices = st.just(scenario.case(design_name))

    def count(attempt: Run) -> None:
        nonlocal enough
        noted.add(attempt)
        found = attempt.finding is not None
        enough = (found and not hostile) or budget.is_spent(statistics)
        if enough:
            raise _Enough

    @settings(
        max_examples=FOREVER,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(hunt_seed)
    @given(st.data())
    def body(data: st.DataObject) -> None:
        base = BaseRun(data.draw(choices).on_module(variant), design, worlds)
        count(base.run)
        for _ in range(orders_of(base)):
            count(base.rerun.run(data.draw(schedules(base))))

    interrupted = False
    try:
        body()
    except _Enough:
        pass
    except Flaky:
        # It saw the same beginning go on for longer before: that is how we leave.
        if not enough:
            raise
    except KeyboardInterrupt:
        interrupted = True
    return noted.hunted(interrupted)
