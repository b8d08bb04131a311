"""Designs from a file that the user names: code by intent, so it is executed."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_sources import INIT, package_of, sources_of
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.overrides import problem_of
from tdxfuzz.sim import Simulator, is_ctrl_c, watched

T = TypeVar("T")

OURS = Path(__file__).parents[1]

MOST_PLACES = 4
"""Of a traceback, the innermost ones."""


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
    if path.suffix == ".c" and path.is_file():
        return _class_in_c(path)
    return _derived_in(path, RefcountLayer, "design")


def _derived_in(path: Path, base: type[T], what: str) -> dict[str, type[T]]:
    """The classes derived from ``base`` that a Python file defines; it is executed.

    Raises:
        DesignFileError: as for :func:`classes_in`.
    """
    module = module_in(path, what)
    return {
        name: thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and issubclass(thing, base)
        and thing.__module__ == module.__name__
    }


def module_in(path: Path, what: str = "design") -> ModuleType:
    """A file in Python, executed; ``what`` it is for.

    Raises:
        DesignFileError: as for :func:`classes_in`.
    """
    if not path.is_file():
        raise DesignFileError(f"no {what} file '{path}'")
    package = package_of(path)
    folder = path.resolve().parent
    _make_importable([folder] if package is None else [package[0] / _top(package), folder])
    try:
        # No step is made here, so code that loops or sleeps is ended as in a run.
        with watched(Simulator(1)):
            if package is not None and _is_free(package):
                return _from_package(*package)
            return _alone(path, what)
    except DesignFileError:
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        where = ", from ".join(_places_of(error, path))
        raise DesignFileError(
            f"{path}: raised {type(error).__name__} when loaded: {said}" + (where and f" ({where})")
        ) from None


def _alone(path: Path, what: str) -> ModuleType:
    """A file under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"tdxfuzz_user_design_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DesignFileError(f"{path}: not a Python file; a {what} file ends in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_package(root: Path, name: str) -> ModuleType:
    """A file as the module of its package, because it may import others of that by dots."""
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    __import__(name)
    return sys.modules[name]


def _top(package: tuple[Path, str]) -> str:
    return package[1].partition(".")[0]


def _is_free(package: tuple[Path, str]) -> bool:
    """Whether no other module has the name of the package; ours is not for users to load again."""
    folder = package[0] / _top(package)
    loaded = sys.modules.get(_top(package))
    return folder != OURS and (
        loaded is None or str(folder) in map(str, getattr(loaded, "__path__", ()))
    )


def _places_of(error: BaseException, path: Path) -> list[str]:
    """Where a file raised when it was loaded, and where that was called from: ``FILE:LINE`` each.
    Code of ours and of the import is left out.
    """
    folder = path.resolve().parent
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    named: list[str] = []
    for name, line in reversed(places):
        file = Path(name)
        if not name.startswith("<") and OURS not in file.parents:
            shown = path.parent / file.name if file.parent == folder else file
            named.append(f"{shown}:{line}")
    return named[:MOST_PLACES]


def _class_in_c(path: Path) -> dict[str, type[RefcountLayer]]:
    # Most commands need no compiler, nor what loads libraries.
    from tdxfuzz.host.c.layer import BuildError, class_of

    try:
        layer = class_of(path)
    except BuildError as error:
        raise DesignFileError(str(error), error.details) from None
    return {layer.__name__: layer}


_folders: list[Path] = []
"""Of the design files that were loaded, and the outermost folders of their packages."""


def _make_importable(folders: list[Path]) -> None:
    """A design file may import the modules beside it, as a script may. ``folders`` are its own, the
    last one, and the outermost one of its package.

    Modules that a file of another folder has imported are forgotten: they may have the same names.
    """
    for name, module in list(sys.modules.items()):
        named = getattr(module, "__file__", None)
        if not named or OURS in Path(named).parents:
            continue
        if _lies_in(Path(named), _folders) and not _lies_in(Path(named), folders):
            del sys.modules[name]
    _folders.extend(folder for folder in folders if folder not in _folders)
    path = str(folders[-1])
    if path in sys.path:
        sys.path.remove(path)
    sys.path.insert(0, path)


def _lies_in(file: Path, folders: list[Path]) -> bool:
    """Whether a module is beside a design file, or anywhere in its package."""
    return any(
        folder == file.parent or (folder in file.parents and (folder / INIT).is_file())
        for folder in folders
    )


def digest_of(path: Path) -> str:
    """The SHA-256 of what a design file says: of a file in Python with the modules of its package
    and beside it that it imports; of C after preprocessing, with the headers that it brings.

    Raises:
        DesignFileError: it is C that cannot be preprocessed.
        OSError: a file cannot be read.
    """
    if path.suffix == ".c":
        return _digest_of_c(path)
    digest = hashlib.sha256()
    for file in sources_of(path):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest_of_c(path: Path) -> str:
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
    return _chosen(classes_in(path), path, class_name, RefcountLayer, "design")


def kvm_in(path: Path, class_name: str = "") -> type[Kvm]:
    """The class derived from ``Kvm`` of a name, or the only one there is.

    Raises:
        DesignFileError: as for :func:`class_in`, or one of its methods cannot serve.
    """
    kvm = _chosen(_derived_in(path, Kvm, "KVM"), path, class_name, Kvm, "KVM")
    problem = problem_of(kvm)
    if problem is not None:
        raise DesignFileError(f"{path}: {problem}")
    return kvm


def _chosen(
    classes: dict[str, type[T]], path: Path, class_name: str, base: type[T], what: str
) -> type[T]:
    if not class_name and len(classes) == 1:
        return next(iter(classes.values()))
    if class_name not in classes:
        public = base.__module__.removesuffix(".paths")
        have = ", ".join(classes) or f"no class derived from {public}.{base.__name__}"
        problem = (
            f"no {what} class {class_name!r}" if class_name else "name a class (FILE.py:Class)"
        )
        raise DesignFileError(f"{path}: {problem}; it has: {have}")
    return classes[class_name]


def file_above(start: Path, name: str) -> Path:
    """The file of this name, or relative path, in the folder of ``start`` or the nearest one above.

    Raises:
        DesignFileError: no folder has it.
    """
    folders = start.resolve().parents
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise DesignFileError(f"no design file '{name}' in {folders[0]} or a folder above it")


def file_of_kvm(kvm: type | None) -> Path | None:
    """The file that a user's KVM was written in; None for the one that is built in, and for a
    class that is not at the top level of its file.
    """
    if kvm is None or kvm is Kvm:
        return None
    for thing in vars(kvm).values():
        if inspect.isfunction(thing) and thing.__globals__.get(kvm.__name__) is kvm:
            return Path(thing.__code__.co_filename).absolute()
    return None


def names_file(argument: str) -> bool:
    """Whether what was named as a design is a file, and not a built-in one."""
    return ":" in argument or argument.endswith((".py", ".c"))


def split(argument: str) -> tuple[Path, str]:
    """``FILE.py:Class``, or ``FILE.py`` or ``FILE.c`` alone, into the file and the name."""
    path, _, class_name = argument.rpartition(":") if ":" in argument else (argument, "", "")
    return Path(path), class_name
