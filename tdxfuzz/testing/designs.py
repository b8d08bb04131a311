"""The designs that tests name: a built-in one, a class, ``FILE.py:Class`` or ``FILE.c``."""

from __future__ import annotations

import inspect
import shlex
import sys
from functools import cache
from itertools import count
from pathlib import Path

from attrs import Factory, field, frozen

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.design_file import class_in, digest_of, file_of_kvm, kvm_in, names_file, split
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.overrides import problem_of
from tdxfuzz.host.kvm.under import name_under, under
from tdxfuzz.repro.reproducer import DesignFile
from tdxfuzz.run.session import Design, UnknownDesignError

AnyDesign = str | type[RefcountLayer]
"""What a test may name: ``"merged"``, ``"mylayer.py:MyLayer"``, ``"mylayer.c"`` or a class. A
relative path starts at the current folder."""

AnyKvm = str | type[Kvm]
"""A KVM that a test may name: ``"mykvm.py:NoTrack"`` or a class derived from ``Kvm``."""

_BUILT_IN = {layer: name for name, layer in DESIGNS.items()}


@frozen
class Named:
    """A design: its name in cases; for a user's design its class, and the file that has the class
    at its top level. Without such a file the command line cannot name the class.

    ``own_name`` is what the command line calls it, and so what stands in reproducers. The name in
    cases may have a number behind it, because two classes of one process can be called alike. Which
    of them gets the number depends on the order of imports.
    """

    name: str
    design: Design = None
    path: Path | None = None
    own_name: str = field(default=Factory(lambda self: self.name, takes_self=True))

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
        return shlex.quote(f"{_shown(self.path)}:{self.design.__name__}")

    @property
    def kvm_argument(self) -> str | None:
        """``FILE.py:Class`` of the user's KVM, quoted for a shell; "" if no file has it at its top
        level, None if the design runs under KVM as it is built in.
        """
        kvm = None if self.design is None else self.design.kvm
        if kvm is None or kvm is Kvm:
            return None
        path = file_of_kvm(kvm)
        return "" if path is None else shlex.quote(f"{_shown(path)}:{kvm.__name__}")


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


_users: dict[str, Named] = {}
"""Users' designs by their name in cases."""


def named(design: AnyDesign, kvm: AnyKvm | None = None) -> Named:
    """The design that a test names, under a KVM of the user's if one is named. From now on
    :func:`design_of` knows it.

    Raises:
        UnknownDesignError: no built-in design has this name.
        DesignFileError: there is no such file or class, or the file raised.
        TypeError: it is neither text nor a design class, or not a KVM class that can
            serve.
    """
    chosen = _named(design)
    if kvm is None:
        return chosen
    if isinstance(kvm, str):
        path, class_name = split(kvm)
        kvm = _loaded_kvm(path.absolute(), class_name)
    if not (inspect.isclass(kvm) and issubclass(kvm, Kvm)):
        raise TypeError(f"not a KVM: {kvm!r}; a KVM is a subclass of tdxfuzz.host.kvm.Kvm")
    problem = problem_of(kvm)
    if problem is not None:
        raise TypeError(problem)
    if chosen.name == HOSTILE:
        raise TypeError(f"{HOSTILE} takes no KVM, because raw SEAMCALLs have no KVM around them")
    layer = under(chosen.design or DESIGNS[chosen.name], kvm)
    return _known(name_under(chosen.own_name, kvm), layer, chosen.path)


def _named(design: AnyDesign) -> Named:
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
    return _known(layer.__name__, layer, path)


def _known(own_name: str, layer: type[RefcountLayer], path: Path | None) -> Named:
    taken = (*DESIGNS, HOSTILE)
    for number in count(1):
        name = own_name if number == 1 else f"{own_name}-{number}"
        if name not in taken:
            # A reproducer that names a built-in design and no file is one of that design.
            is_told_apart = path is not None or own_name not in taken
            own = own_name if is_told_apart else name
            user = _users.setdefault(name, Named(name, layer, path, own))
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


@cache
def _loaded_kvm(path: Path, class_name: str) -> type[Kvm]:
    return kvm_in(path, class_name)
