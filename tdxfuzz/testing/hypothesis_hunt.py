"""``tdxfuzz hunt --engine hypothesis``: a hunt in which Hypothesis chooses the cases."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from tdxfuzz.engines.draw import orders_of
from tdxfuzz.engines.events import HuntListener
from tdxfuzz.engines.hunt import HuntLog, HuntResult
from tdxfuzz.engines.plan import HYPOTHESIS, HuntPlan, PlanError
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import OutOfTime, time_limit
from tdxfuzz.testing.strategies import programs_of, schedules

FOREVER = 100_000_000


class _Enough(BaseException):
    """Leaves Hypothesis at once; it would shrink, and we have a shrinker."""


def hunt_with_hypothesis(plan: HuntPlan, listeners: Sequence[HuntListener] = ()) -> HuntResult:
    """As :func:`tdxfuzz.engines.hunt.hunt`, with Hypothesis as the source of cases and orders.

    Raises:
        PlanError: the plan's engine is not Hypothesis.
        HarnessError: the design misused the harness or raised.
    """
    if plan.engine != HYPOTHESIS:
        raise PlanError(("--engine",), f"--engine {plan.engine} is not {HYPOTHESIS}")
    log = HuntLog(plan, listeners)
    worlds = Worlds(plan.design)
    cases = programs_of(plan.design_name, plan.world_cpus)
    if plan.scenario is not None:
        cases = st.just(plan.scenario.case(plan.design_name))

    def count(attempt: Run) -> None:
        log.add(attempt)
        if log.is_over:
            raise _Enough

    @settings(
        max_examples=FOREVER,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(plan.seed)
    @given(st.data())
    def body(data: st.DataObject) -> None:
        base = BaseRun(plan.prepared(data.draw(cases)), plan.design, worlds)
        count(base.run)
        for _ in range(orders_of(base)):
            count(base.rerun.run(data.draw(schedules(base))))

    interrupted = False
    try:
        with time_limit(plan.budget.seconds):
            body()
    except (_Enough, OutOfTime):
        pass
    except Flaky:
        # It saw the same beginning go on for longer before: that is how we leave.
        if not log.is_over:
            raise
    except KeyboardInterrupt:
        interrupted = True
    return log.result(interrupted)
