"""Designs that tests name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import find

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_file import DesignFileError
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.session import UnknownDesignError
from tdxfuzz.testing.designs import Named, design_of, named
from tdxfuzz.testing.strategies import cases, programs
from tiers import slow

SOURCE = "from tdxfuzz.host.designs.merged import Merged\n\n\nclass Mine(Merged):\n    pass\n"


class OfThisFile(Merged):
    """A user's design."""


def another_of_this_name() -> type[RefcountLayer]:
    class OfThisFile(Merged):
        """Another one of the same name."""

    return OfThisFile


def test_a_built_in_design_is_named_or_is_its_class() -> None:
    assert named("merged") == named(Merged) == Named("merged")
    assert named("hostile") == Named("hostile")
    assert named("merged").argument == ""
    assert named("merged").file is None


def test_a_class_has_its_file() -> None:
    mine = named(OfThisFile)
    assert (mine.name, mine.design, mine.path) == ("OfThisFile", OfThisFile, Path(__file__))
    assert design_of("OfThisFile") == mine
    assert mine.file is not None
    assert mine.file.file == "test_testing_designs.py"


def test_a_file_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my layer.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    mine = named("my layer.py:Mine")
    assert mine is named("my layer.py:Mine")
    assert mine.design is not None
    assert mine.design.__name__ == "Mine"
    assert mine.argument == "'my layer.py:Mine'", "quoted for a shell"
    assert named("my layer.py").design is not None, "the only class of the file"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert mine.argument == f"'{tmp_path}/my layer.py:Mine'", "not below the current folder"


def test_two_classes_of_one_name_are_two_designs() -> None:
    first, second = named(OfThisFile), named(another_of_this_name())
    assert first.name != second.name
    assert second.argument == "", "no file has it at its top level"
    assert design_of(first.name) == first
    assert design_of(second.name) == second


def test_a_class_that_is_called_like_a_built_in_design_gets_another_name() -> None:
    layer: type[RefcountLayer] = type("hint", (Merged,), {})
    mine = named(layer)
    assert mine.name == "hint-2"
    assert mine.design is layer


@pytest.mark.parametrize("strategy", [cases, programs])
def test_a_mistake_is_told_where_the_strategy_is_made(
    strategy: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(strategy)
    with pytest.raises(UnknownDesignError, match="unknown design 'hintt'"):
        strategy("hintt")
    with pytest.raises(DesignFileError, match=r"no design file '.*mine\.py'"):
        strategy("mine.py:Mine")
    with pytest.raises(TypeError, match="not a design: <class 'int'>"):
        strategy(int)


@slow
def test_cases_of_a_class_carry_its_name() -> None:
    assert find(cases(OfThisFile), lambda case: True).design == named(OfThisFile).name
