"""``tdxfuzz hunt --engine hypothesis``: a hunt in which Hypothesis chooses the cases."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from tdxfuzz.case.case import Case
from tdxfuzz.engines.draw import MOST_FAILED, orders_of
from tdxfuzz.engines.events import HuntListener
from tdxfuzz.engines.hunt import HuntLog, HuntResult, check_harness
from tdxfuzz.engines.plan import HYPOTHESIS, HuntPlan, PlanError
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import SetupError
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import HarnessError, OutOfTime, time_limit
from tdxfuzz.testing.strategies import programs_of, schedules

FOREVER = 100_000_000


class _Enough(BaseException):
    """Leaves Hypothesis at once; it would shrink, and we have a shrinker. It would also run again
    what a design that is not deterministic did, and speak of a flaky test.
    """


def hunt_with_hypothesis(plan: HuntPlan, listeners: Sequence[HuntListener] = ()) -> HuntResult:
    """As :func:`tdxfuzz.engines.hunt.hunt`, with Hypothesis as the source of cases and orders.

    Raises:
        PlanError: the plan's engine is not Hypothesis.
        SetupError: no set-up succeeds, or that of the plan's scenario does not.
        HarnessError: the design misused the harness or raised, or a run was not deterministic.
    """
    if plan.engine != HYPOTHESIS:
        raise PlanError(("--engine",), f"--engine {plan.engine} is not {HYPOTHESIS}")
    log = HuntLog(plan, listeners)
    worlds = Worlds(plan.design)
    cases = programs_of(plan.design_name, plan.world_cpus)
    if plan.scenario is not None:
        cases = st.just(plan.scenario.case(plan.design_name))

    failed = 0
    mistake: HarnessError | None = None

    def count(attempt: Run) -> None:
        is_new = log.add(attempt)
        check_harness(attempt, log.statistics.cases, plan.design, is_new)
        if log.is_over:
            raise _Enough

    def set_up(case: Case) -> BaseRun | None:
        """A case's programs with their run in the default order; None if the set-up fails."""
        nonlocal failed
        base = BaseRun(plan.prepared(case), plan.design, worlds)
        try:
            base.run  # noqa: B018  (the run is made here)
        except SetupError:
            failed += 1
            if plan.scenario is not None or failed == MOST_FAILED:
                raise
            return None
        failed = 0
        return base

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
        nonlocal mistake
        try:
            base = set_up(data.draw(cases))
            if base is None:
                return
            count(base.run)
            for _ in range(orders_of(base)):
                count(base.rerun.run(data.draw(schedules(base))))
        except HarnessError as error:
            mistake = error
            raise _Enough from None

    interrupted = False
    try:
        with time_limit(plan.budget.seconds):
            body()
    except (_Enough, OutOfTime):
        pass
    except Flaky:
        # It saw the same beginning go on for longer before: that is how we leave.
        if not log.is_over and mistake is None:
            raise
    except KeyboardInterrupt:
        interrupted = True
    if mistake is not None:
        raise mistake
    return log.result(interrupted)
