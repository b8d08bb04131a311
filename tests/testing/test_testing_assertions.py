"""What an assertion tries, and what a failing test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from golden_files import HINT_RACE
from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.draw import orders_of
from tdxfuzz.host.design import PageCache
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.read import read
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import run
from tdxfuzz.sim import EMPTY
from tdxfuzz.testing import assertions
from tdxfuzz.testing.assertions import OUT, Broken, BrokenAtOnce, assert_clean, assert_same
from tdxfuzz.testing.designs import Named, design_of
from tdxfuzz.testing.profiles import most_orders
from tdxfuzz.testing.run_cache import run_cache
from tdxfuzz.testing.strategies import cases
from tiers import slow

BUCKET = "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
RACE = SCENARIOS["map-zap"].case("hint")
"""Programs with the hint race, in the default order, which does not show it."""

ONE = settings(max_examples=20, database=None, suppress_health_check=list(HealthCheck))
"""Hypothesis as it is without our plugin, but for the number of examples."""


class FreshHint(Hint):
    """A design of its own, so that no other test has shrunk its bug before."""


class Raises(Merged):
    """A design with a slip in it."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        raise LookupError("oh")


@pytest.fixture(autouse=True)
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for reproducers."""
    monkeypatch.setenv(OUT, str(tmp_path))
    assertions.forget()
    return tmp_path


def test_a_broken_invariant_comes_with_reproducer_and_trace(out: Path) -> None:
    case = evolve(read(HINT_RACE).case, design="FreshHint")
    with pytest.raises(Broken) as caught:
        assert_clean(case, FreshHint)
    text = str(caught.value)
    (path,) = out.iterdir()
    name = path.name.removesuffix(".tdx.toml")
    own = Named("FreshHint", FreshHint, Path(__file__)).argument
    assert own.endswith("test_testing_assertions.py:FreshHint")
    first, empty, replay, again, *trace = text.splitlines()
    assert (first, empty) == (BUCKET, "")
    assert replay == f"Reproduce with: tdxfuzz replay {path} --design {own}"
    assert again.strip() == (
        f"or: pytest -p tdxfuzz.pytest_plugin --tdx-regressions {out} -k {name} --tdx-design {own}"
    )
    assert trace[1].startswith("before: create")
    assert any("CPU 0 " in line and "CPU 1" in line for line in trace)
    assert trace[-1].startswith("2MB ranges: ")
    assert max(map(len, trace)) <= 90
    reproducer = read(path)
    assert reproducer.expect.check == "pamt-in-use"
    assert reproducer.design_file is not None
    assert reproducer.design_file.class_name == "FreshHint"

    with pytest.raises(Broken) as once_more:
        assert_clean(case, FreshHint)
    assert str(once_more.value) == text, "the same bug gives the same answer at once"


def test_nothing_is_printed_below_the_trace() -> None:
    for error in (Broken("trace"), BrokenAtOnce("trace")):
        error.add_note("Failing test case: test(case=...)")
        assert not hasattr(error, "__notes__")


@slow
def test_the_middle_of_a_long_trace_is_left_out(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setattr(assertions, "MOST_LINES", 14)
    monkeypatch.setattr(assertions, "FIRST_LINES", 4)
    with pytest.raises(Broken) as caught:
        assert_clean(read(HINT_RACE).case)
    *_, last = text = str(caught.value).splitlines()
    assert len(text) == 5 + 14
    (gap,) = (line for line in text if "…" in line)
    assert f"lines: tdxfuzz show {out}" in gap
    assert last.startswith("2MB ranges: ")
    assert any("^ pamt-in-use" in line for line in text)


@slow
def test_a_class_that_no_file_has_at_its_top_is_told() -> None:
    class Inner(Hint):
        """Nobody can import it."""

    case = evolve(read(HINT_RACE).case, design="Inner")
    with pytest.raises(Broken, match="To replay it, put Inner at the top level of a file"):
        assert_clean(case, Inner)


def test_a_clean_case_gives_its_own_run() -> None:
    case = evolve(read(HINT_RACE).case, design="v6")
    found = assert_clean(case)
    assert found.finding is None
    assert found.case == case


def test_other_orders_of_the_programs_are_tried() -> None:
    assert run(RACE).finding is None
    with pytest.raises(Broken, match=BUCKET):
        assert_clean(RACE, orders=32)
    assert assert_clean(RACE, orders=0).case == RACE, "only the case itself"


@slow
def test_the_order_of_the_case_and_the_default_order_are_tried_in_any_case() -> None:
    race = read(HINT_RACE).case
    with pytest.raises(Broken):
        assert_clean(race, orders=0)
    tried = [found.case for found in assertions.runs_of(race, run_cache(), 0)]
    assert tried == [race, race.with_schedule(EMPTY)]
    assert run(tried[1]).finding is None


def test_the_same_case_is_run_in_the_same_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[object]] = []
    whole = assertions.runs_of

    def noted(*arguments: object) -> Iterator[object]:
        tried.append([])
        for found in whole(*arguments):  # type: ignore[arg-type]
            tried[-1].append(found.outcome)
            yield found

    monkeypatch.setattr(assertions, "runs_of", noted)
    case = evolve(RACE, design="merged")
    assert_clean(case, orders=8)
    assert_clean(case, orders=8)
    assert tried[0] == tried[1]
    assert len(set(map(repr, tried[0]))) == len(tried[0]) == 1 + 8 * orders_of(BaseRun(case)) // 32


@slow
def test_hypothesis_does_not_shrink_what_we_have_shrunk() -> None:
    """Whatever the settings: the first finding ends the test, and the same example fails again.

    One example in ten has the race, about.
    """
    failed: list[Case] = []

    def body(case: Case) -> None:
        try:
            assert_clean(case)
        except BaseException:
            failed.append(case)
            raise

    many = settings(ONE, max_examples=100)
    with pytest.raises(BrokenAtOnce, match=BUCKET):
        many(given(cases(FreshHint))(body))()
    assert len(failed) == 1

    failed.clear()
    with pytest.raises(Broken, match=BUCKET):
        settings(many, phases=[Phase.generate])(given(cases(FreshHint))(body))()
    assert len(set(failed)) == 1
    assert len(failed) <= 2


def test_a_mistake_of_the_design_ends_the_test_at_once() -> None:
    runs: list[Case] = []

    @ONE
    @given(cases(Raises))
    def test(case: Case) -> None:
        runs.append(case)
        assert_clean(case)

    with pytest.raises(BrokenAtOnce, match=r"Raises raised LookupError: oh \(.*\.py:\d+\)"):
        test()
    assert len(runs) == 1
    with pytest.raises(DesignError, match="oh") as caught:
        assert_clean(runs[0])
    files = {Path(entry.path).name for entry in caught.traceback[:-1]}
    assert files == {"test_testing_assertions.py", "assertions.py"}


def test_our_frames_are_hidden() -> None:
    with pytest.raises(Broken) as caught:
        assert_clean(read(HINT_RACE).case)
    shown = [entry.name for entry in caught.traceback if not entry.ishidden(caught)]
    assert shown == ["test_our_frames_are_hidden"]


def test_a_deadline_bounds_the_orders() -> None:
    most: list[int] = []

    @settings(ONE, deadline=200, max_examples=1, phases=[Phase.generate])
    @given(st.none())
    def with_deadline(nothing: None) -> None:
        most.append(most_orders())

    with_deadline()
    assert most == [10]
    assert most_orders() > 10


def test_a_case_that_was_not_drawn_may_bring_its_class() -> None:
    assert design_of("Mine", FreshHint) == Named("Mine", FreshHint, Path(__file__))


def test_a_steered_run_that_differs_from_its_case_is_our_mistake() -> None:
    case = read(HINT_RACE).case
    assert_same(run(case), case)
    with pytest.raises(AssertionError, match="steps: "):
        assert_same(run(evolve(case, design="merged")), case)
