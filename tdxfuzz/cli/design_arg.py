"""``DESIGN`` or ``FILE.py:Class`` on the command line."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import traceback
from pathlib import Path

from attrs import frozen

from tdxfuzz.check.run import Design
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.hostile import HOSTILE
from tdxfuzz.repro.reproducer import DesignFile


@frozen
class Chosen:
    """A design: as the user wrote it, its name in cases, and for a user's design its
    class and its file.
    """

    argument: str
    name: str
    design: Design = None
    file: DesignFile | None = None


def choose(argument: str, hostile: bool = False) -> Chosen:
    """The design an argument names; "hostile" where a command can do without a design.

    A file is executed: it is code by intent, named by the user.

    Raises:
        UsageProblem: no such design, file or class, or the file raised.
    """
    if ":" not in argument and not argument.endswith(".py"):
        known = (*DESIGNS, HOSTILE) if hostile else tuple(DESIGNS)
        if argument == HOSTILE and not hostile:
            raise UsageProblem(
                f"{HOSTILE} is no design: only hunt, verify, replay and decode take it"
            )
        if argument not in known:
            raise unknown("design", argument, known)
        return Chosen(argument, argument)
    path_text, _, class_name = argument.rpartition(":") if ":" in argument else (argument, "", "")
    path = Path(path_text)
    if not path.is_file():
        raise UsageProblem(f"no design file {path_text!r}")
    classes = _classes_in(path)
    if not class_name and len(classes) == 1:
        class_name = next(iter(classes))
    if class_name not in classes:
        have = ", ".join(classes) or "none derived from design.RefcountLayer"
        raise UsageProblem(f"{path}: no design class {class_name!r}; it has: {have}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Chosen(
        f"{path}:{class_name}",
        class_name,
        classes[class_name],
        DesignFile(path.name, class_name, digest),
    )


def _classes_in(path: Path) -> dict[str, type[RefcountLayer]]:
    """The design classes a file defines, in its order."""
    spec = importlib.util.spec_from_file_location(f"tdxfuzz_user_design_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageProblem(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageProblem(
            f"{path}: raised {type(error).__name__} when loaded: {error}", traceback.format_exc()
        ) from None
    return {
        name: thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and issubclass(thing, RefcountLayer)
        and thing.__module__ == module.__name__
    }
