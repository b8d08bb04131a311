"""Views of a reproducer besides the columns: picture, diagram, test."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from attrs import evolve

from golden_files import HINT_RACE, REGRESSIONS, check_golden
from tdxfuzz.host.design_file import DesignFileError
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.as_pytest import as_pytest
from tdxfuzz.repro.mermaid import mermaid
from tdxfuzz.repro.read import read
from tdxfuzz.repro.reproducer import DesignFile
from tdxfuzz.repro.story import story_of
from tdxfuzz.repro.svg import svg
from tdxfuzz.run.session import run

NAMES = [path.name for path in REGRESSIONS]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_race_as_a_diagram() -> None:
    check_golden("hint-race.mermaid", mermaid(run(read(HINT_RACE).case, traced=True)))


def test_the_race_as_a_picture() -> None:
    check_golden("hint-race.svg", svg(run(read(HINT_RACE).case, traced=True)))


@pytest.mark.parametrize("path", REGRESSIONS, ids=NAMES)
def test_a_picture_says_what_the_lines_say(path: Path) -> None:
    shown = run(read(path).case, traced=True)
    root = ElementTree.fromstring(svg(shown))
    words = "".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))
    said = "".join(words.split())
    for line in story_of(shown).lines:
        assert "".join(line.text.split()) in said
    height = float(root.get("height", "0"))
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("y", "0")) + float(box.get("height", "0")) <= height
    assert len(list(root.iter(f"{SVG}rect"))) >= sum(
        line.kind == "mark" for line in story_of(shown).lines
    )


@pytest.mark.parametrize("path", REGRESSIONS, ids=NAMES)
def test_a_diagram_answers_each_call(path: Path) -> None:
    text = mermaid(run(read(path).case, traced=True))
    assert text.startswith("sequenceDiagram\n")
    assert ";" not in text
    assert text.count("-->>") <= text.count("->>M:")


def test_an_exported_test_fails_as_long_as_the_bug_shows(tmp_path: Path) -> None:
    path = tmp_path / "test_race.py"
    path.write_text(as_pytest(read(HINT_RACE)), "utf-8")
    test = runpy.run_path(str(path))["test_hint_pamt_in_use"]
    with pytest.raises(AssertionError, match=r"pamt-in-use: CPU 1 removed the pair"):
        test()


def test_an_exported_test_passes_when_nothing_shows(tmp_path: Path) -> None:
    reproducer = read(HINT_RACE)
    fixed = evolve(reproducer, case=evolve(reproducer.case, design="merged"))
    path = tmp_path / "test_race.py"
    path.write_text(as_pytest(fixed), "utf-8")
    runpy.run_path(str(path))["test_merged_pamt_in_use"]()


def test_an_exported_test_of_a_user_s_design_loads_it(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "tdxfuzz/host/designs/hint.py"
    (tmp_path / "mine.py").write_text(source.read_text("utf-8"))
    reproducer = evolve(read(HINT_RACE), design_file=DesignFile("mine.py", "Hint", "0" * 64))
    for folder, text in (
        (tmp_path, as_pytest(reproducer)),
        (tmp_path / "tests" / "races", as_pytest(reproducer)),
        (tmp_path.parent, as_pytest(reproducer, f"{tmp_path.name}/mine.py", "Hint")),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "test_race.py"
        path.write_text(text)
        with pytest.raises(AssertionError, match="pamt-in-use"):
            runpy.run_path(str(path))["test_hint_pamt_in_use"]()
    assert DESIGNS["hint"].__name__ == "Hint"
    (tmp_path / "mine.py").unlink()
    with pytest.raises(DesignFileError, match=r"no design file 'mine.py' in .* or a folder above"):
        runpy.run_path(str(tmp_path / "test_race.py"))["test_hint_pamt_in_use"]()


def test_what_a_file_says_stays_a_string_in_an_exported_test(tmp_path: Path) -> None:
    reproducer = read(HINT_RACE)
    evil = "'''\nimport sys; sys.exit(7)\n'''"
    spoilt = evolve(reproducer, expect=evolve(reproducer.expect, message=evil))
    spoilt = evolve(spoilt, design_file=DesignFile("a'); exit(7) #.py", "X); exit(7) #", "0" * 64))
    path = tmp_path / "test_race.py"
    path.write_text(as_pytest(spoilt), "utf-8")
    names = runpy.run_path(str(path))
    assert "test_hint_pamt_in_use" in names
    assert "sys.exit(7)" in names["REPRODUCER"]
