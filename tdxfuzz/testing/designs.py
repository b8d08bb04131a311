"""The designs that tests name: a built-in one, a class, ``FILE.py:Class`` or ``FILE.c``."""

from __future__ import annotations

import inspect
import shlex
import sys
from functools import cache
from itertools import count
from pathlib import Path

from attrs import frozen

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_file import class_in, digest_of, names_file, split
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.reproducer import DesignFile
from tdxfuzz.run.session import Design, UnknownDesignError

AnyDesign = str | type[RefcountLayer]
"""What a test may name: ``"merged"``, ``"mylayer.py:MyLayer"``, ``"mylayer.c"`` or a class. A
relative path starts at the current folder."""

_BUILT_IN = {layer: name for name, layer in DESIGNS.items()}


@frozen
class Named:
    """A design: its name in cases; for a user's design its class, and the file that has the class
    at its top level. Without such a file the command line cannot name the class.
    """

    name: str
    design: Design = None
    path: Path | None = None

    @property
    def file(self) -> DesignFile | None:
        """What a reproducer says about a user's class."""
        if self.design is None or self.path is None:
            return None
        return DesignFile(self.path.name, self.design.__name__, digest_of(self.path))

    @property
    def argument(self) -> str:
        """``FILE.py:Class``, quoted for a shell; "" if there is no file. A file below the current
        folder is named from there.
        """
        if self.design is None or self.path is None:
            return ""
        here = Path.cwd()
        shown = self.path.relative_to(here) if self.path.is_relative_to(here) else self.path
        return shlex.quote(f"{shown}:{self.design.__name__}")


_users: dict[str, Named] = {}
"""Users' designs by their name in cases."""


def named(design: AnyDesign) -> Named:
    """The design that a test names. From now on :func:`design_of` knows it.

    Raises:
        UnknownDesignError: no built-in design has this name.
        DesignFileError: there is no such file or class, or the file raised.
        TypeError: it is neither text nor a design class.
    """
    if not isinstance(design, str):
        if not (inspect.isclass(design) and issubclass(design, RefcountLayer)):
            raise TypeError(f"not a design: {design!r}; a design is a subclass of RefcountLayer")
        return Named(_BUILT_IN[design]) if design in _BUILT_IN else _user(design, _file_of(design))
    if design in (*DESIGNS, HOSTILE):
        return Named(design)
    if not names_file(design):
        raise UnknownDesignError(
            f"unknown design {design!r}; see `tdxfuzz list designs`, or name your own: the class, "
            "'FILE.py:Class' or 'FILE.c'"
        )
    path, class_name = split(design)
    return _user(_loaded(path.absolute(), class_name), path.absolute())


def design_of(name: str, design: Design = None) -> Named:
    """The design that a case names; ``design`` is its class, if the case was not drawn for it."""
    known = _users.get(name, Named(name))
    if design is None or known.design is design:
        return known
    return Named(name, design, _file_of(design))


def _user(layer: type[RefcountLayer], path: Path | None) -> Named:
    """A user's class under its name; under another one if that is taken, because a case has
    nothing but the name.
    """
    for number in count(1):
        name = layer.__name__ if number == 1 else f"{layer.__name__}-{number}"
        if name not in (*DESIGNS, HOSTILE):
            user = _users.setdefault(name, Named(name, layer, path))
            if user.design is layer:
                return user
    raise AssertionError("there is always another number")


def _file_of(layer: type[RefcountLayer]) -> Path | None:
    """The file that has a class at its top level, or its C."""
    if layer.c_file is not None:
        return layer.c_file
    module = sys.modules.get(layer.__module__)
    if getattr(module, layer.__name__, None) is not layer:
        return None
    return Path(inspect.getfile(layer)).absolute()


@cache
def _loaded(path: Path, class_name: str) -> type[RefcountLayer]:
    """A class of a file, which is executed once."""
    return class_in(path, class_name)
