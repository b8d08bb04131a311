"""Which design a reproducer runs under: its own, or one that the user puts in its place."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, frozen

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.cli.design_arg import Chosen, ChosenKvm
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.kvm.under import name_under, under
from tdxfuzz.repro.reproducer import Reproducer


@frozen
class Given:
    """What the user named: ``--design`` and ``--kvm``.

    Where ``replaces`` is True, they take the place of what the file names, whatever that is: the
    user named this one file. Otherwise a file runs under them only if it names them itself.
    Without this rule a folder with files of two designs would be told as FIXED by running all of
    them under the sound one.
    """

    design: Chosen | None = None
    kvm: ChosenKvm | None = None
    replaces: bool = True


def design_for(reproducer: Reproducer, given: Given, path: Path) -> Chosen:
    """The design to run a reproducer under, and under which KVM.

    Raises:
        UsageProblem: the reproducer needs a design or a KVM that was not given, or can have none.
    """
    name, _, kvm_name = reproducer.case.design.partition("+")
    if name == HOSTILE and _is_built_in(reproducer):
        if given.replaces and (given.design is not None or given.kvm is not None):
            raise UsageProblem(
                f"{path}: raw SEAMCALLs have no host layer around them; leave out "
                "--design and --kvm"
            )
        return Chosen(name, name)
    kvm = _kvm_for(reproducer, kvm_name, given, path)
    design = _design_for(reproducer, name, given, path)
    if kvm is None:
        return design
    layer = under(design.design or DESIGNS[design.name], kvm.kvm)
    return evolve(design, design=layer, kvm=kvm)


@frozen
class Replaced:
    """The design that a file names, and the one that it was run under in its place."""

    order_of: str
    under: str

    def __str__(self) -> str:
        return f"the order of {self.order_of}, run under {self.under}"


def replaced(reproducer: Reproducer, chosen: Chosen) -> Replaced | None:
    """What the user put in the place of what a file names; None: it runs under its own."""
    kvm = chosen.kvm
    name = chosen.name if kvm is None else name_under(chosen.name, kvm.kvm)
    own = reproducer.case.design
    if name == own and _is_built_in(reproducer) == (chosen.file is None):
        return None
    under_it = chosen.argument if kvm is None else f"{chosen.argument} and {kvm.argument}"
    return Replaced(own, under_it)


def _is_built_in(reproducer: Reproducer) -> bool:
    name = reproducer.case.design.partition("+")[0]
    return reproducer.design_file is None and name in (*DESIGNS, HOSTILE)


def _kvm_for(reproducer: Reproducer, kvm_name: str, given: Given, path: Path) -> ChosenKvm | None:
    kvm, user = given.kvm, reproducer.kvm_file
    if kvm is not None and (given.replaces or kvm.kvm.__name__ == kvm_name):
        return kvm
    if not kvm_name and user is None:
        return None
    where = f"FILE.py:{kvm_name}" if user is None else f"{user.file}:{user.class_name}"
    raise UsageProblem(
        f"{path}: kvm: this is a run under a user's KVM; add --kvm {where}"
        + ("" if kvm is None else _alone(kvm.argument))
    )


def _design_for(reproducer: Reproducer, name: str, given: Given, path: Path) -> Chosen:
    chosen = given.design
    built_in = _is_built_in(reproducer)
    if chosen is not None:
        is_its_own = chosen.name == name and built_in == (chosen.file is None)
        if given.replaces or is_its_own:
            return evolve(chosen, design=chosen.design or DESIGNS[chosen.name])
    if built_in:
        return Chosen(name, name)
    hint = f"{name} is not a built-in design (all: `tdxfuzz list designs`)"
    user = reproducer.design_file
    if user is not None:
        hint = f"{name} is a user's design; add --design {user.file}:{user.class_name}"
    raise UsageProblem(
        f"{path}: design.name: {hint}" + ("" if chosen is None else _alone(chosen.argument))
    )


def _alone(argument: str) -> str:
    """What to do if the user means the order of one design under another."""
    return f", or name this file alone to run it under {argument}"
