"""``DESIGN`` or ``FILE.py:Class`` on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

from attrs import evolve, frozen

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.cli.design_prints import keep_apart
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.host.design_file import (
    DesignFileError,
    class_in,
    digest_of,
    kvm_in,
    names_file,
    split,
)
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.under import name_under, under
from tdxfuzz.repro.reproducer import DesignFile
from tdxfuzz.run.session import Design


@frozen
class ChosenKvm:
    """A user's KVM: the argument, and its class."""

    argument: str
    kvm: type[Kvm]


@frozen
class Chosen:
    """A design: the user's argument, its name in cases, and for a user's design its class and
    its file; the KVM that it runs under, if that is a user's.
    """

    argument: str
    name: str
    design: Design = None
    file: DesignFile | None = None
    kvm: ChosenKvm | None = None

    @property
    def options(self) -> str:
        """What `tdxfuzz replay` needs beside the reproducer."""
        design = "" if self.file is None else f" --design {quote(self.argument)}"
        return design if self.kvm is None else f"{design} --kvm {quote(self.kvm.argument)}"


def choose_kvm(argument: str) -> ChosenKvm:
    """The KVM that an argument names; its file is executed.

    Raises:
        UsageProblem: no such file or class, or the file raised.
    """
    path, class_name = split(argument)
    keep_apart()
    try:
        kvm = kvm_in(path, class_name)
    except DesignFileError as error:
        raise UsageProblem(str(error), error.details) from None
    return ChosenKvm(f"{path}:{kvm.__name__}", kvm)


def choose(argument: str, hostile: bool = False, kvm: ChosenKvm | None = None) -> Chosen:
    """The design that an argument names; "hostile" where a command needs no design.

    A file is executed, because a design is code and the user named it.

    Args:
        argument: what the user named.
        hostile: whether the command takes raw SEAMCALLs.
        kvm: what the design runs under, if not KVM as it is built in.

    Raises:
        UsageProblem: no such design, file or class, or the file raised.
    """
    chosen = _chosen(argument, hostile)
    if kvm is None:
        return chosen
    if chosen.name == HOSTILE:
        raise UsageProblem(
            f"{HOSTILE} takes no --kvm, because raw SEAMCALLs have no KVM around them"
        )
    design = under(chosen.design or DESIGNS[chosen.name], kvm.kvm)
    return evolve(chosen, name=name_under(chosen.name, kvm.kvm), design=design, kvm=kvm)


def choose_all(
    arguments: Iterable[str], hostile: bool = False, kvm: ChosenKvm | None = None
) -> list[Chosen]:
    """The designs that arguments name, each as by :func:`choose`.

    Raises:
        UsageProblem: as for :func:`choose`, or two of them have one name. Cases, files and tables
            tell designs apart by it.
    """
    by_name: dict[str, Chosen] = {}
    for argument in arguments:
        chosen = choose(argument, hostile, kvm)
        other = by_name.setdefault(chosen.name, chosen)
        if other is chosen:
            continue
        if other.argument == chosen.argument:
            raise UsageProblem(f"{argument} is named twice; name each design once")
        raise UsageProblem(
            f"{other.argument} and {chosen.argument} are both called {chosen.name}, and results "
            "are told apart by that name; rename one of them, or run them one after the other"
        )
    return list(by_name.values())


def _chosen(argument: str, hostile: bool) -> Chosen:
    if not names_file(argument):
        known = (*DESIGNS, HOSTILE) if hostile else tuple(DESIGNS)
        if argument == HOSTILE and not hostile:
            raise UsageProblem(
                f"{HOSTILE} is not a design; only hunt, verify, campaign, replay and decode take it"
            )
        if argument not in known:
            raise unknown("design", argument, known)
        return Chosen(argument, argument)
    path, class_name = split(argument)
    keep_apart()
    try:
        design = class_in(path, class_name)
    except DesignFileError as error:
        raise UsageProblem(str(error), error.details) from None
    return Chosen(
        f"{path}:{design.__name__}",
        design.__name__,
        design,
        DesignFile(path.name, design.__name__, digest_of(path)),
    )
