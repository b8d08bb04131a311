"""Designs from a file that the user names: code by intent, so it is executed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.sim import Simulator, watched


class DesignFileError(Exception):
    """A design file cannot be used; ``details`` is a traceback if it raised."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def classes_in(path: Path) -> dict[str, type[RefcountLayer]]:
    """The design classes that a file defines, in its order.

    Raises:
        DesignFileError: there is no such file, it is not Python, or it raised.
    """
    if not path.is_file():
        raise DesignFileError(f"no design file '{path}'")
    if path.suffix == ".c":
        return _class_in_c(path)
    module = module_in(path)
    return {
        name: thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and issubclass(thing, RefcountLayer)
        and thing.__module__ == module.__name__
    }


def module_in(path: Path, what: str = "design") -> ModuleType:
    """A file in Python, executed; ``what`` it is for.

    Raises:
        DesignFileError: as for :func:`classes_in`.
    """
    if not path.is_file():
        raise DesignFileError(f"no {what} file '{path}'")
    spec = importlib.util.spec_from_file_location(f"tdxfuzz_user_design_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DesignFileError(f"{path}: not a Python file; a {what} file ends in .py")
    module = importlib.util.module_from_spec(spec)
    _make_neighbours_importable(path.resolve().parent)
    try:
        # No step is made here, so code that loops or sleeps is ended as in a run.
        with watched(Simulator(1)):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise DesignFileError(
            f"{path}: raised {type(error).__name__} when loaded: {error}", traceback.format_exc()
        ) from None
    return module


def _class_in_c(path: Path) -> dict[str, type[RefcountLayer]]:
    # Most commands need no compiler, nor what loads libraries.
    from tdxfuzz.host.c.layer import BuildError, class_of

    try:
        layer = class_of(path)
    except BuildError as error:
        raise DesignFileError(str(error), error.details) from None
    return {layer.__name__: layer}


_folders: list[Path] = []
"""Of the design files that were loaded, the last one first."""


def _make_neighbours_importable(folder: Path) -> None:
    """A design file may import the modules beside it, as a script may.

    Modules that a file of another folder has imported are forgotten: they may have the same names.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent in _folders and Path(file).parent != folder:
            del sys.modules[name]
    if folder not in _folders:
        _folders.insert(0, folder)
    path = str(folder)
    if path in sys.path:
        sys.path.remove(path)
    sys.path.insert(0, path)


def digest_of(path: Path) -> str:
    """The SHA-256 of what a design file says: of a file in Python and of the modules beside it that
    it imports; of C after preprocessing, with the headers that it brings.

    Raises:
        DesignFileError: it is C that cannot be preprocessed.
        OSError: a file cannot be read.
    """
    if path.suffix == ".c":
        return _digest_of_c(path)
    digest = hashlib.sha256()
    for file in (path, *sorted(_imported_from_beside(path, {path}) - {path})):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest_of_c(path: Path) -> str:
    from tdxfuzz.host.c import build
    from tdxfuzz.host.c.errors import BuildError

    try:
        return build.digest(path)
    except BuildError as error:
        raise DesignFileError(str(error), error.details) from None


def _imported_from_beside(path: Path, known: set[Path]) -> set[Path]:
    for name in _imports_in(path):
        file = path.parent / f"{name.partition('.')[0]}.py"
        if file not in known and file.is_file():
            known.add(file)
            _imported_from_beside(file, known)
    return known


def _imports_in(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def class_in(path: Path, class_name: str = "") -> type[RefcountLayer]:
    """The design class of a name, or the only one there is.

    Raises:
        DesignFileError: as for :func:`classes_in`, or there is no such class.
    """
    classes = classes_in(path)
    if not class_name and len(classes) == 1:
        return next(iter(classes.values()))
    if class_name not in classes:
        have = ", ".join(classes) or "no class derived from tdxfuzz.host.design.RefcountLayer"
        problem = (
            f"no design class {class_name!r}" if class_name else "name a class (FILE.py:Class)"
        )
        raise DesignFileError(f"{path}: {problem}; it has: {have}")
    return classes[class_name]


def names_file(argument: str) -> bool:
    """Whether what was named as a design is a file, and not a built-in one."""
    return ":" in argument or argument.endswith((".py", ".c"))


def split(argument: str) -> tuple[Path, str]:
    """``FILE.py:Class``, or ``FILE.py`` or ``FILE.c`` alone, into the file and the name."""
    path, _, class_name = argument.rpartition(":") if ":" in argument else (argument, "", "")
    return Path(path), class_name
