"""One line of a program: a host operation, or a raw SEAMCALL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from attrs import field, frozen

from tdxfuzz.abi.address import LEVEL_2M
from tdxfuzz.abi.leaf import BY_NAME
from tdxfuzz.case.guest_script import Action, number_of, parse_script, script_of, script_text
from tdxfuzz.case.names import name_of_operand, operand_of

MAX_TDS = 4
MAX_SLOTS = 8
MAX_AREAS = 2
MAX_VCPUS = 8
MAX_REGISTER = (1 << 64) - 1

OPERATIONS: dict[str, tuple[str, ...]] = {
    "create": ("td",),
    "destroy": ("td",),
    "map": ("td", "slot"),
    "zap": ("td", "slot"),
    "convert": ("td", "slot"),
    "vcpu": ("td",),
    "map2m": ("td", "area"),
    "accept4k": ("td", "area"),
    "zap2m": ("td", "area"),
    "promote": ("td", "area"),
}
"""Names of host operations with those of their arguments; see ``host/operations.py``."""

RUN_OPERATIONS: dict[str, tuple[str, ...]] = {
    "finalize": ("td",),
    "enter": ("td", "vcpu", "script"),
    "migrate": ("td", "vcpu", "cpu"),
    "terminate": ("td",),
}
"""Those of a TD that runs: its measurement is closed, a vCPU is entered with a guest script
(:mod:`tdxfuzz.case.guest_script`), or goes to another CPU; its HKID goes while it has pages."""

HOST_OPERATIONS = {**OPERATIONS, **RUN_OPERATIONS}
"""All that are no raw SEAMCALLs."""

AREA_OPERATIONS = tuple(name for name, arguments in OPERATIONS.items() if "area" in arguments)
"""Those that need a world with 2MB areas."""

_SPLITS = ("TDH.MEM.PAGE.DEMOTE", "TDH.MEM.PAGE.PROMOTE")

_HIGHEST = {
    "td": MAX_TDS - 1,
    "slot": MAX_SLOTS - 1,
    "area": MAX_AREAS - 1,
    "version": 255,
    "vcpu": MAX_VCPUS - 1,
    "cpu": MAX_VCPUS - 1,
}


@lru_cache(maxsize=256)
def arguments_of(name: str) -> tuple[str, ...]:
    """The names of an operation's arguments; those of a leaf are the registers it reads,
    then its version if it has several.

    Raises:
        ValueError: there is no such operation, and no such leaf.
    """
    if name in HOST_OPERATIONS:
        return HOST_OPERATIONS[name]
    leaf = BY_NAME.get(name)
    if leaf is None:
        raise ValueError(
            f"unknown operation {name!r}; known: {', '.join(HOST_OPERATIONS)}, and leaves such as "
            "TDH.PHYMEM.PAMT.ADD (all: `tdxfuzz list leaves`)"
        )
    return (*leaf.inputs, "version") if len(leaf.versions) > 1 else tuple(leaf.inputs)


def _known_operation(op: Op, attribute: object, name: str) -> None:
    arguments_of(name)


def _fitting_arguments(op: Op, attribute: object, args: tuple[int, ...]) -> None:
    wanted = arguments_of(op.name)
    if len(args) != len(wanted):
        plural = "" if len(wanted) == 1 else "s"
        raise ValueError(
            f"{op.name} takes {len(wanted)} argument{plural} ({', '.join(wanted)}), not {len(args)}"
        )
    for what, value in zip(wanted, args, strict=True):
        highest = _HIGHEST.get(what, MAX_REGISTER)
        if not isinstance(value, int) or not 0 <= value <= highest:
            raise ValueError(f"{op.name}: {what} must be 0..{highest}, not {value!r}")
        if what == "script":
            script_of(value)


@frozen(order=True)
class Op:
    """One line of a CPU's program: a host operation and small numbers, or a leaf and
    what its registers hold.

    Raises:
        ValueError: an unknown operation, or arguments it does not take.
    """

    name: str = field(validator=_known_operation)
    args: tuple[int, ...] = field(default=(), validator=_fitting_arguments)

    @property
    def is_seamcall(self) -> bool:
        """A leaf called as it is, with no host layer around it."""
        return self.name not in HOST_OPERATIONS

    @property
    def is_huge(self) -> bool:
        """Whether it is about a 2MB page of a guest."""
        if self.name == "TDH.MEM.PAGE.AUG":
            return dict(self.arguments)["rcx"] & 7 == LEVEL_2M
        if any(action.area is not None for action in self.script):
            return True
        return self.name in AREA_OPERATIONS or self.name in _SPLITS

    @property
    def script(self) -> tuple[Action, ...]:
        """What the guest does, if a vCPU is entered."""
        return script_of(self.args[2]) if self.name == "enter" else ()

    @property
    def arguments(self) -> tuple[tuple[str, int], ...]:
        """The arguments with their names."""
        return tuple(zip(arguments_of(self.name), self.args, strict=True))

    @property
    def numbers(self) -> Iterator[tuple[str, int]]:
        """The arguments, and what the actions of a script are about."""
        for what, value in self.arguments:
            if what != "script":
                yield what, value
        for action in self.script:
            if action.slot is not None:
                yield "slot", action.slot
            if action.area is not None:
                yield "area", action.area

    def renumbered(self, what: str, names: Mapping[int, int]) -> Op:
        """The operation with other numbers for some TDs, slots or areas."""

        def new(name: str, value: int) -> int:
            return names.get(value, value) if name == what else value

        def act(action: Action) -> Action:
            slot, area = action.slot, action.area
            return Action(
                action.act,
                None if slot is None else new("slot", slot),
                None if area is None else new("area", area),
            )

        script = number_of(tuple(map(act, self.script)))
        args = tuple(
            script if name == "script" else new(name, value) for name, value in self.arguments
        )
        return Op(self.name, args)

    def __str__(self) -> str:
        if not self.is_seamcall:
            args = [script_text(n) if what == "script" else str(n) for what, n in self.arguments]
            return " ".join([self.name, *args])
        shown = [
            f"{what}={value if what == 'version' else name_of_operand(value)}"
            for what, value in self.arguments
            if value or what != "version"
        ]
        return " ".join([self.name, *shown])

    @classmethod
    def parse(cls, text: str) -> Op:
        """From the form that ``str`` gives, e.g. ``"map 0 1"`` or
        ``"TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B3 r8=B4"``; registers left out are 0.

        Raises:
            ValueError: what is wrong with it.
        """
        name, *args = text.split() or [""]
        try:
            arguments_of(name)
            if name in BY_NAME:
                return cls(name, _registers(name, args))
            wanted = (*arguments_of(name), *([""] * len(args)))
            numbers = [
                parse_script(arg) if what == "script" else int(arg)
                for what, arg in zip(wanted, args, strict=False)
            ]
            return cls(name, tuple(numbers))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{text!r}: {error}") from None


def _registers(name: str, args: list[str]) -> tuple[int, ...]:
    given: dict[str, int] = {}
    for arg in args:
        register, equals, value = arg.partition("=")
        if not equals or register in given:
            raise ValueError(f"{arg!r} must be REGISTER=VALUE, each register once")
        given[register] = operand_of(value)
    wanted = arguments_of(name)
    for register in given:
        if register not in wanted:
            raise ValueError(f"{name} does not read {register!r}; it reads {', '.join(wanted)}")
    return tuple(given.get(register, 0) for register in wanted)
