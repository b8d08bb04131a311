"""The committed reproducers show their bugs, step by step the same on every Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden_files import HINT_RACE, MATRIX, REGRESSIONS, check_golden
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.read import read
from tdxfuzz.repro.replay import ReplayResult, replay
from tdxfuzz.repro.steps import as_json, steps
from tdxfuzz.repro.write import to_toml
from tdxfuzz.run.session import run
from tdxfuzz.shrink.shrink import shrink
from tiers import only_quick

each = pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name.split(".")[0])


def short(path: Path) -> str:
    return path.name.removesuffix(".tdx.toml")


def test_there_are_some() -> None:
    assert len(REGRESSIONS) >= 2


@each
def test_its_bug_still_shows(path: Path) -> None:
    assert replay(read(path)).result is ReplayResult.FAILED


@pytest.mark.parametrize("path", MATRIX, ids=lambda path: path.name.split(".")[0])
def test_what_the_matrix_links_to_still_shows_and_is_small(path: Path) -> None:
    shown = replay(read(path))
    assert shown.result is ReplayResult.FAILED
    assert read(path).case.operations <= 6
    assert run(read(path).case).preemptions <= 3


@each
def test_its_trace_is_the_same_on_every_machine_and_python(path: Path) -> None:
    check_golden(f"{short(path)}.hash", replay(read(path)).trace_hash + "\n")


@each
def test_its_name_carries_its_trace(path: Path) -> None:
    assert short(path).endswith(replay(read(path)).trace_hash[:8])


@each
def test_it_is_written_the_way_we_write(path: Path) -> None:
    assert to_toml(read(path)) == path.read_text(encoding="utf-8")


@each
@pytest.mark.parametrize("width", [72, 100])
def test_its_columns_fit_and_read_as_they_should(path: Path, width: int) -> None:
    text = columns(run(read(path).case, traced=True), width)
    assert max(map(len, text.splitlines())) <= width
    check_golden(f"{short(path)}.{width}.txt", text)


@each
def test_every_step_can_be_shown(path: Path) -> None:
    traced = run(read(path).case, traced=True)
    text = steps(traced)
    check_golden(f"{short(path)}.steps.txt", text)
    assert f'"trace_hash": "{replay(read(path)).trace_hash}"' in as_json(traced)


@pytest.mark.parametrize(
    "path", only_quick(REGRESSIONS[::3], REGRESSIONS), ids=lambda path: path.name.split(".")[0]
)
def test_it_is_as_small_as_we_can_make_it(path: Path) -> None:
    case = read(path).case
    assert shrink(run(case)).run.case == case


def test_under_a_sound_design_it_is_fixed() -> None:
    assert replay(read(HINT_RACE), Merged).result is ReplayResult.FIXED


class Breaks(Merged):
    """Another bug than the one expected."""

    def put(self, pfn: int, hint: bool = False) -> None:
        self.warn("no")


def test_under_a_design_with_another_bug_it_is_changed() -> None:
    assert replay(read(HINT_RACE), Breaks).result is ReplayResult.CHANGED
