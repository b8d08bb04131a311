"""Dependencies point one way: down the list of rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
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


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert node.level == 0, f"{path}: a relative import"
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "tdxfuzz" and parts[1] != "__version__":
                yield parts[1]


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        assert list(imports_of(path)) == []
        return
    for imported in imports_of(path):
        assert ORDER.index(imported) <= ORDER.index(room_of(path)), f"{path} imports {imported}"


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
