"""Dependencies point one way: down the list of rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tdxfuzz

PACKAGE = Path(tdxfuzz.__file__).parent
ORDER = [
    "abi",
    "sim",
    "module",
    "case",
    "host",
    "check",
    "run",
    "tables",
    "generate",
    "engines",
    "verify",
    "shrink",
    "repro",
    "survey",
    "targets",
    "testing",
    "strategies",
    "assertions",
    "stateful",
    "pytest_plugin",
    "fuzzers",
    "campaign",
    "cli",
    "__main__",
]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def names_imported(text: str) -> Iterator[str]:
    """Dotted names of all that is imported, for types only or not."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imports_of(path: Path) -> Iterator[str]:
    for name in names_imported(path.read_text(encoding="utf-8")):
        parts = name.split(".")
        if parts[0] == "tdxfuzz" and parts[1] != "__version__":
            yield parts[1]


def circle_among(files: Mapping[str, str]) -> list[str]:
    """A circle of imports among files, given their text by module name; empty if there is none."""
    graph = {
        module: {
            name if name in files else name.rpartition(".")[0] for name in names_imported(text)
        }
        & (files.keys() - {module})
        for module, text in files.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        assert list(imports_of(path)) == []
        return
    for imported in imports_of(path):
        assert ORDER.index(imported) <= ORDER.index(room_of(path)), f"{path} imports {imported}"


@pytest.mark.parametrize("room", [room for room in ORDER if room != "module"])
def test_no_room_but_the_module_has_imports_that_go_in_a_circle(room: str) -> None:
    texts = {
        module_of(path): path.read_text(encoding="utf-8") for path in FILES if room_of(path) == room
    }
    assert texts
    assert circle_among(texts) == []


def test_a_circle_is_found_though_it_is_for_types_only() -> None:
    files = {
        "room": "from room.lock import Lock",
        "room.cpu": "if TYPE_CHECKING:\n    from room.lock import Lock",
        "room.lock": "from room import cpu\nimport elsewhere",
        "room.trace": "from room import cpu",
    }
    assert set(circle_among(files)) == {"room.cpu", "room.lock"}
    files["room.cpu"] = "import elsewhere"
    assert circle_among(files) == []
    files["room.cpu"] = "from room import Lock"
    assert set(circle_among(files)) == {"room", "room.cpu", "room.lock"}


def test_the_simulator_knows_nothing_of_ours() -> None:
    for path in (PACKAGE / "sim").glob("*.py"):
        assert set(imports_of(path)) <= {"sim"}, path


def test_nothing_heavy_comes_with_the_package() -> None:
    code = "import sys, tdxfuzz; print(sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("hypothesis", "click", "rich", "cattrs", "greenlet", "atheris"):
        assert f"'{heavy}'" not in loaded


def test_no_file_is_long() -> None:
    for path in FILES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 400, f"{path} has {lines} lines: think again"
