"""Designs from a file that the user names: code by intent, so it is executed."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import traceback
from pathlib import Path

from tdxfuzz.host.design import RefcountLayer


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
    spec = importlib.util.spec_from_file_location(f"tdxfuzz_user_design_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DesignFileError(f"{path}: not a Python file; a design file ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise DesignFileError(
            f"{path}: raised {type(error).__name__} when loaded: {error}", traceback.format_exc()
        ) from None
    return {
        name: thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and issubclass(thing, RefcountLayer)
        and thing.__module__ == module.__name__
    }


def _class_in_c(path: Path) -> dict[str, type[RefcountLayer]]:
    # Most commands need no compiler, nor what loads libraries.
    from tdxfuzz.host.c.layer import BuildError, class_of

    try:
        layer = class_of(path)
    except BuildError as error:
        raise DesignFileError(str(error), error.details) from None
    return {layer.__name__: layer}


def digest(path: Path) -> str:
    """SHA-256 of what a design file says; of C after preprocessing, the headers it brings included.

    Raises:
        DesignFileError: it is C that cannot be preprocessed.
        OSError: it cannot be read.
    """
    if path.suffix != ".c":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    from tdxfuzz.host.c import build
    from tdxfuzz.host.c.errors import BuildError

    try:
        return build.digest(path)
    except BuildError as error:
        raise DesignFileError(str(error), error.details) from None


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


def split(argument: str) -> tuple[Path, str]:
    """``FILE.py:Class``, or ``FILE.py`` alone, into the file and the name."""
    path, _, class_name = argument.rpartition(":") if ":" in argument else (argument, "", "")
    return Path(path), class_name
