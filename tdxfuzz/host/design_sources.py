"""Which files a design in Python is made of: its package, and what it imports from beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

INIT = "__init__.py"


def package_of(path: Path) -> tuple[Path, str] | None:
    """The folder from which a file is imported if it lies in a package, and its name there:
    ``/a`` and ``pkg.sub.layer`` for ``/a/pkg/sub/layer.py``. None if it lies in none.
    """
    names = [] if path.name == INIT else [path.stem]
    folder = path.resolve().parent
    while folder.name.isidentifier() and (folder / INIT).is_file():
        names.append(folder.name)
        folder = folder.parent
    is_alone = folder == path.resolve().parent or path.suffix != ".py" or "." in path.stem
    return None if is_alone else (folder, ".".join(reversed(names)))


def sources_of(path: Path) -> list[Path]:
    """A file, and after it, in order, those of its package and the modules beside it that it
    imports, and what these import.
    """
    own = path.resolve()
    known = {own}
    _follow(own, known)
    return [path, *sorted(known - {own})]


def _follow(path: Path, known: set[Path]) -> None:
    for file in _imported_by(path):
        if file not in known and file.is_file():
            known.add(file)
            _follow(file, known)


def _imported_by(path: Path) -> Iterator[Path]:
    """The files that may be meant; not all of them need to be there."""
    package = package_of(path)
    if package is not None:
        yield from _on_the_way(package[0], package[1])
    for level, name in _imports_in(path):
        if level:
            folder = path.parents[min(level, len(path.parents)) - 1]
            yield from _on_the_way(folder, name)
            continue
        first = name.partition(".")[0]
        yield path.parent / f"{first}.py"
        if package is not None and first == package[1].partition(".")[0]:
            yield from _on_the_way(package[0], name)


def _on_the_way(folder: Path, name: str) -> Iterator[Path]:
    """The modules that Python loads for a dotted name."""
    for part in name.split("."):
        yield folder / f"{part}.py"
        folder /= part
        yield folder / INIT


def _imports_in(path: Path) -> Iterator[tuple[int, str]]:
    """The dots before a name, and the name. What is imported from a package may be a module."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            before = f"{node.module}." if node.module else ""
            yield from ((node.level, f"{before}{alias.name}") for alias in node.names)
