"""The committed reproducers show their bugs, step by step the same on every Python."""

from __future__ import annotations

import json
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


def test_there_are_reproducers() -> None:
    assert len(REGRESSIONS) >= 2


@each
def test_its_bug_still_shows(path: Path) -> None:
    assert replay(read(path)).result is ReplayResult.FAILED


@pytest.mark.parametrize("path", MATRIX, ids=lambda path: path.name.split(".")[0])
def test_what_the_matrix_links_to_still_shows_and_is_small(path: Path) -> None:
    shown = replay(read(path))
    assert shown.result is ReplayResult.FAILED
    case = read(path).case
    assert case.operations <= 6
    if case.schedule.loop is None:
        assert run(case).preemptions <= 3
    else:
        # A run makes the loop again and again, and those of its round with it.
        assert len(case.schedule) <= 6


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
def test_its_columns_fit_into_a_mail_and_read_as_they_should(path: Path) -> None:
    text = columns(run(read(path).case, traced=True), 72)
    assert max(map(len, text.splitlines())) <= 72
    check_golden(f"{short(path)}.72.txt", text)


def test_the_race_in_wide_columns() -> None:
    text = columns(run(read(HINT_RACE).case, traced=True), 100)
    check_golden(f"{short(HINT_RACE)}.100.txt", text)


def words(text: str) -> str:
    """What columns say, however they are broken into lines."""
    return "".join(text.replace("TDH.", "").split())


@each
def test_its_columns_say_the_same_at_any_width(path: Path) -> None:
    traced = run(read(path).case, traced=True)
    narrow, wide = columns(traced, 72), columns(traced, 100)
    assert max(map(len, wide.splitlines())) <= 100
    assert words(wide) == words(narrow)


def test_every_step_of_the_race() -> None:
    text = steps(run(read(HINT_RACE).case, traced=True))
    check_golden(f"{short(HINT_RACE)}.steps.txt", text)


@each
def test_every_step_and_every_record_has_a_line(path: Path) -> None:
    traced = run(read(path).case, traced=True)
    assert traced.trace is not None
    lines = [line.split() for line in steps(traced).splitlines()]
    assert len(lines) == len(traced.trace) + len(traced.findings)
    for line, record in zip(lines, traced.trace, strict=False):
        assert line[:4] == [str(record.step), "CPU", str(record.cpu), record.kind]
    numbers = [int(line[0]) for line in lines if line[3] == "step"]
    assert numbers == list(range(traced.outcome.steps))
    for line, finding in zip(lines[len(traced.trace) :], traced.findings, strict=True):
        assert " ".join(line[3:]).startswith(f"^ {finding.bucket}: ")


@each
def test_its_json_names_its_trace(path: Path) -> None:
    document = json.loads(as_json(run(read(path).case, traced=True)))
    assert document["trace_hash"] == replay(read(path)).trace_hash


QUICK = [path for path in REGRESSIONS[::3] if not path.name.startswith(("v4", "v5", "bias"))]
"""Shrinking the others takes two seconds of CPU time and more."""


@pytest.mark.parametrize(
    "path", only_quick(QUICK, REGRESSIONS), ids=lambda path: path.name.split(".")[0]
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
