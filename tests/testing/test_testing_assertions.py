"""What an assertion tries, and what a failing test says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from commands import Invoke
from golden_files import HINT_RACE
from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.draw import orders_of
from tdxfuzz.engines.hunt import check_harness
from tdxfuzz.host.design import PageCache
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.repro.read import read
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import EMPTY
from tdxfuzz.testing import assertions
from tdxfuzz.testing.assertions import OUT, Broken, BrokenAtOnce, assert_clean, assert_same
from tdxfuzz.testing.designs import Named, design_of, named
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


LAYER = "from tdxfuzz.host.designs.hint import Hint\n\n\nclass Mine(Hint):\n    pass\n"


@slow
@pytest.mark.parametrize("class_name", ["Mine", "v4"])
def test_of_two_classes_of_one_name_both_are_replayed_as_the_text_says(
    class_name: str, out: Path, tmp_path_factory: pytest.TempPathFactory, invoke: Invoke
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    for name in ("one.py", "two.py"):
        path = folder / name
        path.write_text(LAYER.replace("Mine", class_name), encoding="utf-8")
        race = evolve(read(HINT_RACE).case, design=named(f"{path}:{class_name}").name)
        with pytest.raises(Broken) as caught:
            assert_clean(race)
        (file,) = out.iterdir()
        assert file.name.startswith(f"{class_name.lower()}-pamt-in-use-")
        assert read(file).case.design == class_name
        lines = str(caught.value).splitlines()[2:4]
        replay, tests = (line.partition(": ")[2].split() for line in lines)
        replayed = invoke(*replay[1:])
        assert (replayed.code, "FAILED" in replayed.out) == (1, True)
        assert "run under" not in replayed.out, "it is its own design"
        assert invoke("replay", out, *replay[3:]).code == 1
        tested = subprocess.run(
            [sys.executable, "-m", *tests, "-p", "no:cacheprovider"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "FAILED: this reproducer shows pamt-in-use" in tested.stdout
        file.unlink()


@slow
def test_a_bug_is_written_for_each_folder_variant_and_set_of_checks(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = read(HINT_RACE).case
    other = next(name for name in VARIANTS if name != race.world.module_variant)

    def told(case: Case) -> Path:
        with pytest.raises(Broken) as caught:
            assert_clean(case)
        return Path(str(caught.value).splitlines()[2].split()[4])

    first = told(race)
    on_other = told(race.on_module(other))
    assert read(on_other).case.world.module_variant == other
    alone = told(evolve(race, checks=("pamt-in-use",)))
    assert read(alone).expect.checks == ("pamt-in-use",)
    monkeypatch.setenv(OUT, str(out / "below"))
    assert told(race) == out / "below" / first.name
    (out / "below" / first.name).unlink()
    assert told(race).is_file(), "it is written again if somebody has removed it"


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


def test_every_run_is_one_of_those_of_which_some_are_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []

    def noted(found: Run, cases: int, *rest: object, **more: object) -> None:
        counted.append(cases)
        check_harness(found, cases, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(assertions, "check_harness", noted)
    before = run_cache().orders
    assert_clean(evolve(RACE, design="merged"), orders=16)
    tried = run_cache().orders - before
    assert tried >= 8
    assert len(counted) == 1 + tried


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
