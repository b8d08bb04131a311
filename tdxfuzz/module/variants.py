"""How another module might be: named changes to 1.5.25, to ask what would survive them.

The host relies on lock behaviour that is documented only as far as resources go; "what if
the module changes its locking in 5 years or 10?" was asked on the list, 2025-09-26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from inspect import signature, unwrap
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, field, frozen

from tdxfuzz.abi import BY_NAME, BY_NUMBER
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.sim import HarnessError

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.leaves.registry import Handler
    from tdxfuzz.module.module import TdxModule

T = TypeVar("T")


TDR, PAGE, RANGE, SEPT_TREE, OP_STATE = "TDR", "PAGE", "RANGE", "SEPT_TREE", "OP_STATE"

RESOURCES = {
    TDR: "the page of the TDR, by its PAMT entry",
    PAGE: "each other page that an operand names, by its PAMT entry",
    RANGE: "the 2MB range of PAMT.ADD and PAMT.REMOVE",
    SEPT_TREE: "a TD's S-EPT tree",
    OP_STATE: "a TD's operation state",
}
"""What a leaf locks, as far as a variant can say how."""

Modes = Mapping[str, Mapping[str, str]]
"""How a leaf takes a resource: ``{"TDH.MEM.SEPT.ADD": {"SEPT_TREE": EXCLUSIVE}}``."""


def _known_modes(variant: Variant, attribute: object, modes: Modes) -> None:
    for leaf, own in modes.items():
        _check_leaf(leaf)
        for resource, mode in own.items():
            if resource not in RESOURCES:
                raise ValueError(f"{leaf}: unknown resource {resource!r}; {_known(RESOURCES)}")
            if mode not in (EXCLUSIVE, SHARED):
                raise ValueError(f"{leaf}: {resource} must be EXCLUSIVE or SHARED, not {mode!r}")


def _known_leaves(variant: Variant, attribute: object, leaves: Mapping[str, Handler]) -> None:
    for leaf, function in leaves.items():
        _check_leaf(leaf)
        if not callable(function):
            raise ValueError(f"{leaf}: must be a function of the module and the call")
        try:
            signature(function).bind(None, None)
        except TypeError:
            raise ValueError(f"{leaf}: its function must take the module and the call") from None


def _check_leaf(name: str) -> None:
    if name not in BY_NAME:
        near = get_close_matches(name, BY_NAME, n=1)
        hint = f"did you mean {near[0]}?" if near else "`tdxfuzz list leaves` has all"
        raise ValueError(f"unknown leaf {name!r}; {hint}")


def _known(names: Mapping[str, object]) -> str:
    return f"known: {', '.join(names)}"


@frozen
class Variant:
    """What is otherwise: which locks a leaf takes and how, how many pages back a 2MB range, or what
    a leaf does.

    One of the two hooks of the PAMT; the other is ``split.py``.

    ``donor_mode``: how PAMT.ADD holds the 4KB entries of the pages it is given.
    ``donors_first``: ADD locks those pages before the range.
    ``ranges_exclusive``: a leaf that takes a page exclusive takes its 2MB range exclusive too, if
    its operand names the page. It is not in its own way.
    ``pair_pages``: backing pages of a 2MB range; the ABI fixed two, hosts up to v5 asked.
    ``modes``: how leaves take their resources, where it is otherwise.
    ``leaves``: functions in place of the model's, by the name of their leaf.

    Raises:
        ValueError: no such leaf, resource or mode.
    """

    name: str
    about: str
    donor_mode: str = SHARED
    donors_first: bool = False
    ranges_exclusive: bool = False
    pair_pages: int = 2
    modes: Modes = field(factory=dict, hash=False, validator=_known_modes)
    leaves: Mapping[str, Handler] = field(factory=dict, hash=False, validator=_known_leaves)

    def mode(self, leaf: int, resource: str, usual: str) -> str:
        """How a leaf takes a resource that it usually takes so."""
        own = self.modes.get(BY_NUMBER[leaf].name)
        return usual if own is None else own.get(resource, usual)

    def pair_of(self, registers: tuple[str, ...]) -> tuple[str, ...]:
        """The registers that hold a range's backing pages, of all those that could."""
        return registers[: self.pair_pages]

    def range_then_donors(self, lock_range: Callable[[], T], lock_donors: Callable[[], None]) -> T:
        """Lock a range, then the pages that are to back it: the order of 1.5.25.

        Returns:
            What ``lock_range`` returned.
        """
        if self.donors_first:
            lock_donors()
            return lock_range()
        locked = lock_range()
        lock_donors()
        return locked


DEFAULT = Variant("1.5.25", "the module as it is")

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        DEFAULT,
        Variant("donors-ex", "ADD holds the pages of the pair exclusive", donor_mode=EXCLUSIVE),
        Variant("donors-first", "ADD locks the pair's pages, then the range", donors_first=True),
        Variant(
            "ranges-ex",
            "an exclusive lock of a page also takes its 2MB range exclusive",
            ranges_exclusive=True,
        ),
        Variant("one-page", "a 2MB range is backed by one page", pair_pages=1),
        Variant("four-pages", "a 2MB range is backed by four pages", pair_pages=4),
    )
}
"""Those that are built in, by name."""


@frozen
class VariantFile:
    """Where a user's variant was defined: the file, the name there, and the file's hash."""

    file: str
    name: str
    sha256: str


_loaded: dict[str, tuple[Variant, VariantFile]] = {}
"""Users' variants by the name that cases give. Each process that runs such cases loads the file."""


def add_variant(variant: Variant, file: VariantFile) -> None:
    """From now on cases may name a user's variant.

    Raises:
        ValueError: a built-in variant has this name.
    """
    if file.name in VARIANTS:
        raise ValueError(f"{file.name} is a built-in variant; give yours another name")
    leaves = {leaf: _held_to_status(file, leaf, own) for leaf, own in variant.leaves.items()}
    _loaded[file.name] = evolve(variant, name=file.name, leaves=leaves), file


def _held_to_status(file: VariantFile, leaf: str, function: Handler) -> Handler:
    """A user's function of a leaf, held to returning a status."""

    @wraps(function)
    def checked(module: TdxModule, call: Call) -> int:
        status: object = function(module, call)
        if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status < 1 << 64:
            raise HarnessError(
                f"variant {file.name} ({file.file}): the function of {leaf} returned {status!r}; "
                "it must return a status"
            )
        return status

    return checked


def variant_with_code_in(path: str) -> str | None:
    """The variant that has a function of a leaf in this file, if one was loaded."""
    for name, (variant, _) in _loaded.items():
        codes = (getattr(unwrap(own), "__code__", None) for own in variant.leaves.values())
        if any(code is not None and code.co_filename == path for code in codes):
            return name
    return None


def variant_of(name: str) -> Variant | None:
    """The variant of a name, if it is built in or was loaded."""
    if name in VARIANTS:
        return VARIANTS[name]
    return _loaded[name][0] if name in _loaded else None


def variant_file_of(name: str) -> VariantFile | None:
    """Where a variant was loaded from, if it was."""
    return _loaded[name][1] if name in _loaded else None
