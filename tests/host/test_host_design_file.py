"""Files of users' designs: in a package, beside others, and what their digest covers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tdxfuzz.host.design_file import DesignFileError, class_in, digest_of

LAYER = """
from tdxfuzz.host.designs.hint import Hint
{imports}


class MyLayer(Hint):
    got = GOT
"""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    sys.modules.clear()
    sys.modules.update(modules)


def write(root: Path, imports: str, **files: str) -> Path:
    """A package ``pkg`` with a package ``sub``, whose ``layer.py`` has these imports."""
    folder = root / "pkg" / "sub"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "base.py").write_text("GOT = 'base'\n", encoding="utf-8")
    (folder.parent / "top.py").write_text("GOT = 'top'\n", encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    layer = folder / "layer.py"
    layer.write_text(LAYER.format(imports=imports), encoding="utf-8")
    return layer


def got(layer: Path) -> object:
    return vars(class_in(layer, "MyLayer"))["got"]


@pytest.mark.parametrize(
    ("imports", "said", "imported"),
    [
        ("from .base import GOT", "base", "sub/base.py"),
        ("from . import base\nGOT = base.GOT", "base", "sub/base.py"),
        ("from ..top import GOT", "top", "top.py"),
        ("from pkg.top import GOT", "top", "top.py"),
        ("import pkg.sub.base\nGOT = pkg.sub.base.GOT", "base", "sub/base.py"),
        ("from base import GOT", "base", "sub/base.py"),
    ],
)
def test_a_file_may_import_what_is_in_its_package(
    tmp_path: Path, imports: str, said: str, imported: str
) -> None:
    layer = write(tmp_path, imports)
    assert got(layer) == said
    before = digest_of(layer)
    (tmp_path / "pkg" / imported).write_text("GOT = 'another'\n", encoding="utf-8")
    assert digest_of(layer) != before


def test_the_digest_covers_what_the_package_itself_runs(tmp_path: Path) -> None:
    layer = write(tmp_path, "from .base import GOT")
    before = digest_of(layer)
    (tmp_path / "pkg" / "other.py").write_text("1\n", encoding="utf-8")
    assert digest_of(layer) == before, "nobody imports it"
    (tmp_path / "pkg" / "__init__.py").write_text("1\n", encoding="utf-8")
    assert digest_of(layer) != before


def test_packages_of_two_folders_with_the_same_names_are_kept_apart(tmp_path: Path) -> None:
    first = write(tmp_path / "one", "from .base import GOT")
    second = write(tmp_path / "two", "from .own import GOT", own="GOT = 'own'")
    assert [got(first), got(second), got(first)] == ["base", "own", "base"]


def test_a_class_that_a_test_has_imported_is_the_same_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = write(tmp_path, "from .base import GOT")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("pkg.sub.layer")
    assert class_in(layer, "MyLayer") is vars(sys.modules["pkg.sub.layer"])["MyLayer"]


def test_a_package_named_as_a_module_in_use_does_not_replace_it(tmp_path: Path) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "layer.py").write_text(LAYER.format(imports="GOT = 1"), encoding="utf-8")
    before = sys.modules["json"]
    assert got(folder / "layer.py") == 1
    assert sys.modules["json"] is before


def test_a_file_that_raises_in_its_package_is_told_with_its_line(tmp_path: Path) -> None:
    layer = write(tmp_path, "from .base import MISSING as GOT")
    with pytest.raises(DesignFileError, match=r"raised ImportError when loaded.*layer\.py:3\)"):
        class_in(layer, "MyLayer")
