"""What is measured. Each function returns rates per second, by name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from greenlet import getcurrent, greenlet
from hypothesis import HealthCheck, Phase, given, settings

from tdxfuzz.case.case import Case
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.sim import FollowSchedule, Schedule, Simulator, Variable
from tdxfuzz.strategies import cases
from tdxfuzz.targets import sequential
from tdxfuzz.targets.count import Count
from tdxfuzz.targets.json_values import mapping
from tdxfuzz.targets.recording import lines_of, read_params
from tdxfuzz.testing.assertions import runs_of
from tdxfuzz.testing.profiles import ORDERS
from tdxfuzz.testing.run_cache import forget, run_cache

REFERENCE = "greenlet switches"
HYPOTHESIS_EXAMPLES = 60
SWITCHES = 500_000
TOY_STEPS = 500_000
HUNT_CASES = 1_500
SEED = 1
RECORDING = Path(__file__).parent.parent / "corpus/conformance/sequential.jsonl.gz"


def greenlet_switches() -> dict[str, float]:
    """Two greenlets that hand over to each other and do nothing else."""
    here = getcurrent()

    def partner() -> None:
        while True:
            here.switch()

    other = greenlet(partner)
    other.switch()
    began = time.perf_counter()
    for _ in range(SWITCHES):
        other.switch()
    return {REFERENCE: 2 * SWITCHES / (time.perf_counter() - began)}


def bare_steps() -> dict[str, float]:
    """Steps of a toy program: what the simulator itself costs."""
    sim = Simulator(2, FollowSchedule(Schedule.of([(1, 1), (5, 0)])), bound=1 << 40)
    cell = Variable(sim, "x", 0)

    def body() -> None:
        for _ in range(TOY_STEPS // 2):
            cell.read()

    began = time.perf_counter()
    outcome = sim.run([body, body])
    return {"bare simulator steps": outcome.steps / (time.perf_counter() - began)}


def native_engine() -> dict[str, float]:
    """The default engine on the merged design: atomic granularity, all checks on."""
    statistics = hunt(HuntPlan("merged", Budget(cases=HUNT_CASES), seed=SEED)).statistics
    return {
        "native engine steps": statistics.steps / statistics.seconds,
        "native engine cases": statistics.cases / statistics.seconds,
    }


def sequential_seamcalls() -> dict[str, float]:
    """SEAMCALLs of the recorded mix, each compared with the recording; reading not counted."""
    params = read_params(RECORDING)
    lines = [mapping(json.loads(line)) for _, line in lines_of(RECORDING)]
    traces = [sequential.parse(line, params) for line in lines]
    count = Count()
    began = time.perf_counter()
    for trace in traces:
        sequential.compare(trace, count, self_check=False)
    return {"sequential SEAMCALLs": count.items / (time.perf_counter() - began)}


def hypothesis_runs() -> dict[str, float]:
    """Runs of what Hypothesis draws, each example in its orders, under the profile ``ci``."""
    runs = 0

    @settings(
        max_examples=HYPOTHESIS_EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def test(drawn: Case) -> None:
        nonlocal runs
        runs += sum(1 for _ in runs_of(drawn, run_cache(), ORDERS["ci"]))

    forget()
    began = time.perf_counter()
    test()
    return {"Hypothesis-driven runs": runs / (time.perf_counter() - began)}


FIGURES: tuple[Callable[[], dict[str, float]], ...] = (
    greenlet_switches,
    bare_steps,
    native_engine,
    sequential_seamcalls,
    hypothesis_runs,
)

BUDGETS: dict[str, tuple[str, float]] = {
    "native engine steps": (REFERENCE, 0.5),
    "sequential SEAMCALLs": ("", 30_000),
    "Hypothesis-driven runs": ("native engine cases", 0.8),
}
"""What a figure is held against, and the least ratio; against nothing: the least rate."""
