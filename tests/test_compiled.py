"""What is compiled, how a copy is made ready for it, and how the two are compared.

The comparison itself takes minutes, and a C compiler: ``make compiled``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tdxfuzz
from tdxfuzz.host.designs import DESIGNS
from tools import compiled, side_by_side

PACKAGE = Path(tdxfuzz.__file__).parent


def test_every_file_that_is_left_out_would_be_compiled_otherwise() -> None:
    matched = {path for pattern in compiled.COMPILED for path in PACKAGE.glob(pattern)}
    assert {PACKAGE / name for name in compiled.INTERPRETED} <= matched
    assert matched > set(compiled.sources(PACKAGE))


def test_what_users_derive_from_is_not_compiled_or_left_open() -> None:
    files = {str(path.relative_to(PACKAGE)) for path in compiled.sources(PACKAGE)}
    assert "host/design.py" not in files
    assert set(compiled.OPEN) <= files


def test_more_files_can_be_left_to_the_interpreter(tmp_path: Path) -> None:
    leaves = set(PACKAGE.glob("module/leaves/*.py"))
    usual = set(compiled.sources(PACKAGE))
    assert usual & leaves
    assert set(compiled.sources(PACKAGE, ["module/leaves/*.py"])) == usual - leaves
    with pytest.raises(SystemExit, match=r"--interpret leafs/\*: no such file in .*tdxfuzz"):
        compiled.build(tmp_path / "new", ["leafs/*"])
    assert not (tmp_path / "new").exists()


def test_classes_are_opened_by_name(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(f"{compiled.FUTURE}\n\nclass Cell:\n    pass\n\n\nclass CellCount:\n    pass\n")
    compiled.open_up(path, ("Cell",))
    text = path.read_text()
    assert "@mypyc_attr(allow_interpreted_subclasses=True)\nclass Cell:" in text
    assert text.count("@mypyc_attr") == 1
    assert text.startswith(f"{compiled.FUTURE}\nfrom mypy_extensions import mypyc_attr\n")
    with pytest.raises(SystemExit, match="no class Gone"):
        compiled.open_up(path, ("Gone",))


def test_constants_are_settled_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(f"{compiled.FUTURE}\nREAD = 0\n_TABLE = {{}}\nT = TypeVar('T')\nplain = READ\n")
    compiled.settle(path)
    assert path.read_text() == (
        f"{compiled.FUTURE}\nfrom typing import Final\n\n"
        "READ: Final = 0\n_TABLE: Final = {}\nT = TypeVar('T')\nplain = READ\n"
    )


def test_only_a_folder_of_an_earlier_build_is_made_anew(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    with pytest.raises(SystemExit, match="in use for something else"):
        compiled.make_room(mine)
    assert (mine / "thesis.txt").exists()
    build = tmp_path / "build"
    compiled.make_room(build)
    (build / "old.so").touch()
    compiled.make_room(build)
    assert [path.name for path in build.iterdir()] == [compiled.MARK]


def test_a_folder_where_nothing_is_compiled_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nothing is compiled there .*lock\.py"):
        side_by_side.compare(tmp_path, each=0)


def test_the_first_difference_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lines_of(folder: Path, each: int) -> Iterator[str]:
        there = folder == tmp_path
        yield "lock.so\n" if there else "lock.py\n"
        yield "case 0 hint 12 - aa\n"
        yield f"case 1 v4 30 - {'cc' if there else 'bb'}\n"

    monkeypatch.setattr(side_by_side, "lines_of", lines_of)
    with pytest.raises(SystemExit) as ended:
        side_by_side.compare(tmp_path, each=2)
    assert str(ended.value) == (
        "they differ:\n  interpreted case 1 v4 30 - bb\n  compiled    case 1 v4 30 - cc\n"
    )


def test_one_that_ends_early_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lines_of(folder: Path, each: int) -> Iterator[str]:
        yield "lock.so\n" if folder == tmp_path else "lock.py\n"
        if folder != tmp_path:
            yield "case 0 hint 12 - aa\n"

    monkeypatch.setattr(side_by_side, "lines_of", lines_of)
    with pytest.raises(SystemExit, match="they differ"):
        side_by_side.compare(tmp_path, each=1)


def test_cases_are_of_every_design_and_the_same_each_time() -> None:
    once, again = list(side_by_side.cases(1)), list(side_by_side.cases(1))
    assert once == again
    assert len({case.design for case in once}) == len(once) == len(DESIGNS) + 1
