"""Raw SEAMCALLs at random: leaves with operands that mean something where they start from.

An operand is drawn by what the leaf's table says it is: where a TDR is wanted mostly a
TDR, where a new page is wanted mostly a free one. A few things are in focus in each case
and drawn again and again, so that calls meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from random import Random
from typing import TypeVar

from attrs import evolve, frozen

from tdxfuzz.abi import LEAVES, Leaf
from tdxfuzz.abi.address import SIZE_2M, SIZE_4K
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS, WORLD, setup_ops
from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.case.operation import Op, arguments_of
from tdxfuzz.generate.choices import Choices, RandomChoices
from tdxfuzz.host.host import Host
from tdxfuzz.host.layout import PARAMS_HPA
from tdxfuzz.host.operations import seamcall
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.snapshot import used_pages
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.session import Session
from tdxfuzz.sim import Rewind

T = TypeVar("T")

FITTING = 88
"""Percent of operands that are of the kind the leaf wants."""

IN_FOCUS = 60
"""Percent of operands that are what the case is about."""

HOW = (5, 3, 3)
"""Weights of calls that succeed after the case's first, beside it, and of any calls."""

TRIES = 60
ENOUGH = 4
"""Operands tried of a leaf to find some that succeed, and how many of those are kept."""

PROGRAM_LENGTHS = ((1, 2, 3), (6, 3, 1))

RANGES = 5
"""2MB ranges that operands may name: A to E."""

_WEIGHTS = {"PHYMEM.PAMT": 8, "PHYMEM": 2, "MEM": 3, "MNG": 2, "VP": 2}
_LEFT_OUT = ("TDH.SYS.", "TDH.MNG.RD", "TDH.MNG.WR", "TDH.MEM.RD", "TDH.MEM.WR")


def _weight(leaf: Leaf) -> int:
    words = leaf.name.split(".")[1:]
    return _WEIGHTS.get(".".join(words[:2]), _WEIGHTS.get(words[0], 1))


HOSTILE_LEAVES = tuple(
    leaf for leaf in LEAVES if leaf.number in HANDLERS and not leaf.name.startswith(_LEFT_OUT)
)
"""Leaves that hostile programs call: those that change pages, keys or a TD's life."""

_LEAF_WEIGHTS = tuple(map(_weight, HOSTILE_LEAVES))


@frozen
class Resources:
    """What there is to name after a set-up: values of operands by kind."""

    kinds: dict[str, tuple[int, ...]]

    def all_of(self, kind: str) -> tuple[int, ...]:
        """The values of a kind; of an empty one, any page at all."""
        return self.kinds[kind] or self.kinds["any page"]


@lru_cache
def resources(setup: str, variant: str = DEFAULT.name) -> Resources:
    """Run a set-up on a variant of the module, and see what it left.

    Raises:
        SetupError: the set-up fails there.
    """
    session = Session(hostile_case(setup, 1, ((),), variant))
    session.run_programs()
    module = session.host.module
    of_type: dict[int, list[int]] = {}
    for entry in used_pages(module):
        of_type.setdefault(entry.pt, []).append(entry.hpa)
    nodes = [node for node in module.pamt.nodes() if node.is_node]
    backing = [page.hpa for node in nodes for page in node.backing]
    ranges = [TDMR_BASE + i * SIZE_2M for i in range(RANGES)]
    paired = {node.hpa for node in nodes}
    taken = {hpa for pages in of_type.values() for hpa in pages} | set(backing)

    def untaken(among: list[int]) -> tuple[int, ...]:
        pages = [hpa + i * SIZE_4K for hpa in among for i in (0, 1, 40, 300)]
        return tuple(hpa for hpa in pages if hpa not in taken)

    huge = [hpa for hpa in ranges if module.pamt.blocks[hpa >> 30].entry_2m(hpa).pt == PT.REG]
    free = untaken([hpa for hpa in ranges if hpa in paired])
    bare = untaken([hpa for hpa in ranges if hpa not in paired])
    used = tuple(hpa for pages in of_type.values() for hpa in pages[:3]) + tuple(huge)
    guest = [0, SIZE_4K, SIZE_2M]
    return Resources(
        {
            "tdr": tuple(of_type.get(PT.TDR, ())),
            "tdvpr": tuple(of_type.get(PT.TDVPR, ())),
            "new page": free + bare[:4],
            "PAMT page": bare + free + tuple(backing[:2]),
            "used page": used,
            "any page": free[:3] + bare[:3] + used + tuple(backing[:3]),
            "range": tuple(hpa | 1 for hpa in ranges),
            "gpa": (0, 0, 0, SIZE_4K, SIZE_2M, 1, 1, SIZE_2M | 1, 2, 3),
            "plain gpa": tuple(guest),
            "hkid": tuple(range(33, 36)),
        }
    )


_KIND_OF = {
    "TDR HPA": "tdr",
    "TDR HPA and flags": "tdr",
    "TDVPR HPA": "tdvpr",
    "TDVPR HPA and flags": "tdvpr",
    "page HPA": "used page",
    "page HPA with HKID": "any page",
    "HPA | level": "any page",
    "source HPA": "any page",
    "GPA | level": "gpa",
    "GPA": "plain gpa",
    "2MB range HPA | 1": "range",
    "HKID": "hkid",
}


def kind_of(leaf: Leaf, register: str) -> str | None:
    """Which kind of value an operand wants; None if a small number will do."""
    meaning = leaf.inputs.get(register, "")
    if leaf.name == "TDH.MEM.PAGE.ADD" and register == "r8":
        return "new page"
    if meaning.startswith("PAMT page"):
        return "PAMT page"
    if meaning.startswith("new "):
        return "new page"
    return _KIND_OF.get(meaning)


@lru_cache(maxsize=1024)
def fitting_calls(
    setup: str, before: tuple[Op, ...] = (), variant: str = DEFAULT.name
) -> dict[str, tuple[Op, ...]]:
    """Calls that succeed after a set-up and the calls ``before``, by leaf, on a variant of the
    module.

    Found by trying, from the same state each time: a call that is refused changes nothing.

    Raises:
        SetupError: the set-up fails there.
    """
    choices = RandomChoices(Random(len(before)))
    there = resources(setup, variant)
    found: dict[str, tuple[Op, ...]] = {}
    host, put_back = _workbench(setup, variant)

    def begin() -> None:
        put_back()
        for op in before:
            seamcall(host, op)

    begin()
    for leaf in HOSTILE_LEAVES:
        tried: set[tuple[int, ...]] = set()
        for _ in range(TRIES):
            args = _draw_args(choices, leaf, there, {})
            if args in tried:
                continue
            tried.add(args)
            op = Op(leaf.name, args)
            if seamcall(host, op).ok:
                found[leaf.name] = (*found.get(leaf.name, ()), op)
                begin()
                if len(found[leaf.name]) == ENOUGH:
                    break
    return found


@lru_cache(maxsize=4096)
def _succeeds(setup: str, op: Op) -> bool:
    """Whether a call succeeds after a set-up."""
    host, put_back = _workbench(setup, DEFAULT.name)
    put_back()
    return seamcall(host, op).ok


@lru_cache
def _workbench(setup: str, variant: str) -> tuple[Host, Rewind]:
    """Where calls are tried after a set-up, and what puts it back."""
    host = Session(hostile_case(setup, 1, ((),), variant)).host
    return host, Rewind(host)


def draw_hostile(choices: Choices, cpus: int = 2) -> Case:
    """A hostile case without a schedule: a set-up, and one to three calls per CPU."""
    names = list(SETUPS)
    setup = choices.pick(names, [1] * len(names))
    return hostile_case(setup, cpus, draw_calls(choices, setup, cpus))


def draw_calls(choices: Choices, setup: str, cpus: int) -> tuple[tuple[Op, ...], ...]:
    """One to three calls per CPU: most of them such that succeed after the set-up, or only
    after the first call that did.
    """
    there = resources(setup)
    focus = {kind: _any_of(choices, there.all_of(kind)) for kind in there.kinds}
    programs: list[tuple[Op, ...]] = []
    enabling: tuple[Op, ...] = ()
    for _ in range(cpus):
        program = []
        for _ in range(choices.pick(*PROGRAM_LENGTHS)):
            how = choices.pick(("after", "beside", "any"), HOW)
            calls = {}
            if how != "any":
                calls = fitting_calls(setup, enabling if how == "after" else ())
            if calls:
                leaves = [leaf for leaf in HOSTILE_LEAVES if leaf.name in calls]
                leaf = choices.pick(leaves, [_weight(leaf) for leaf in leaves])
                op = _any_of(choices, calls[leaf.name])
            else:
                leaf = choices.pick(HOSTILE_LEAVES, _LEAF_WEIGHTS)
                op = _draw_call(choices, leaf, there, focus)
            program.append(op)
            if not enabling and _succeeds(setup, op):
                enabling = (op,)
        programs.append(tuple(program))
    return tuple(programs)


def draw_call(choices: Choices, leaf: Leaf, setup: str) -> Op:
    """A call of a leaf with operands drawn from what there is after a set-up."""
    return _draw_call(choices, leaf, resources(setup), {})


def _draw_call(choices: Choices, leaf: Leaf, there: Resources, focus: dict[str, int]) -> Op:
    return Op(leaf.name, _draw_args(choices, leaf, there, focus))


def _draw_args(
    choices: Choices, leaf: Leaf, there: Resources, focus: dict[str, int]
) -> tuple[int, ...]:
    args = []
    for kind, fixed in _operands(leaf):
        if kind is None:
            args.append(fixed)
        elif focus and choices.percent(IN_FOCUS):
            args.append(focus[kind])
        else:
            wanted = kind if choices.percent(FITTING) else "any page"
            args.append(_any_of(choices, there.all_of(wanted)))
    return tuple(args)


@cache
def _operands(leaf: Leaf) -> tuple[tuple[str | None, int], ...]:
    """Of each argument the kind of value it wants, or None and the only one it is given."""
    found: list[tuple[str | None, int]] = []
    for register in arguments_of(leaf.name):
        params = leaf.inputs.get(register, "").startswith("TD_PARAMS")
        kind = None if params else kind_of(leaf, register)
        found.append((kind, PARAMS_HPA if params else 0))
    return tuple(found)


def _any_of(choices: Choices, values: Sequence[T]) -> T:
    return values[choices.below(len(values))]


def hostile_case(
    setup: str,
    cpus: int,
    programs: tuple[tuple[Op, ...], ...],
    variant: str = DEFAULT.name,
) -> Case:
    """A case that starts from a set-up, by its name, in the hostile world."""
    world = evolve(WORLD, cpus=cpus, module_variant=variant)
    return Case(HOSTILE, world, setup_ops(setup), programs)
