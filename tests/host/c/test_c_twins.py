"""Layers in C do what their twins in Python do, step by step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

import pytest

from c_layers import TWINS, needs_clang, needs_compiler, twin
from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.huge_programs import EVERY, EVERY_REAL, Huge
from tdxfuzz.run.session import Design, run
from tdxfuzz.sim import Schedule
from tdxfuzz.verify.search import verify
from tdxfuzz.verify.worklist import Bounds
from tiers import long, slow

pytestmark = needs_compiler


def _trace(case: Case, design: Design) -> tuple[str, str]:
    ended = run(case, design, traced=True)
    assert ended.trace is not None
    return ended.trace.hash(), "" if ended.finding is None else ended.finding.bucket


def _search(case: Case, design: Design) -> tuple[object, ...]:
    result = verify(case, design, Bounds(1))
    counts = result.counts
    bucket = (
        None if result.found is None or not result.found.finding else result.found.finding.bucket
    )
    sizes = counts.states, counts.transitions, counts.schedules, len(counts.finals)
    return result.verdict, *sizes, bucket


def _same_runs(name: str, scenarios: Iterable[str]) -> None:
    for scenario in scenarios:
        case = SCENARIOS[scenario].case(name)
        for order in ([], [(12, 1), (40, 0), (55, 1), (90, 0)]):
            case = case.with_schedule(Schedule.of(order))
            assert _trace(case, twin(name)) == _trace(case, None)


@pytest.mark.parametrize("name", TWINS)
def test_a_run_has_the_trace_of_its_twin(name: str) -> None:
    _same_runs(name, ("fault-fault", "zap-remap", "split-map"))


@slow
@pytest.mark.parametrize("name", TWINS)
def test_each_run_has_the_trace_of_its_twin(name: str) -> None:
    _same_runs(name, SCENARIOS)


@pytest.mark.parametrize("name", ["v5", "merged"])
def test_a_search_meets_the_states_of_its_twin(name: str) -> None:
    for scenario in ("map-zap", "split-map"):
        case = SCENARIOS[scenario].case(name)
        assert _search(case, twin(name)) == _search(case, None)


@slow
@pytest.mark.parametrize("name", TWINS)
def test_each_search_meets_the_states_of_its_twin(name: str) -> None:
    for scenario in SCENARIOS.values():
        case = scenario.case(name)
        assert _search(case, twin(name)) == _search(case, None), scenario.name


@pytest.mark.parametrize("name", ["v6", pytest.param("merged", marks=slow)])
def test_a_hunt_makes_the_runs_of_its_twin(name: str) -> None:
    counts = []
    for design in (None, twin(name)):
        plan = HuntPlan(name, Budget(cases=150), design=design, seed=3)
        statistics = hunt(plan, ()).statistics
        counts.append((statistics.steps, statistics.distinct_schedules, statistics.table()))
    assert counts[0] == counts[1]


@slow
@pytest.mark.parametrize("huge", [EVERY, pytest.param(EVERY_REAL, marks=long)], ids=["few", "real"])
@pytest.mark.parametrize("name", ["v5", "v6"])
def test_a_hunt_with_2mb_pages_makes_the_runs_of_its_twin(name: str, huge: Huge) -> None:
    counts = []
    for design in (None, twin(name)):
        plan = HuntPlan(name, Budget(cases=60), design=design, seed=11, huge=huge)
        result = hunt(plan, ())
        counts.append((result.statistics.steps, sorted(result.findings), result.statistics.calls))
    assert counts[0] == counts[1]


@slow
@needs_clang
@pytest.mark.parametrize("name", TWINS)
def test_both_compilers_give_the_same_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "from c_layers import twin\n"
        "from test_c_twins import _search, _trace\n"
        "from tdxfuzz.case.scenarios import SCENARIOS\n"
        f"for name in ('zap-remap', 'split-map'):\n"
        f"    case = SCENARIOS[name].case({name!r})\n"
        f"    print(_trace(case, twin({name!r})), _search(case, twin({name!r})))\n"
    )
    said = []
    for compiler in ("gcc", "clang"):
        monkeypatch.setenv("CC", compiler)
        monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        said.append(done.stdout)
    assert said[0] == said[1]
