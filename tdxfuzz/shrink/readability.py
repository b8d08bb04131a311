"""What makes a case easy to read: simple operations, and a set-up in order."""

from __future__ import annotations

from tdxfuzz.case.operation import HOST_OPERATIONS, Op

_COMPLEXITY = {
    "convert": 1,
    "map2m": 1,
    "zap2m": 1,
    "accept4k": 2,
    "promote": 2,
    "vcpu": 2,
    "create": 3,
    "destroy": 3,
    "migrate": 3,
    "terminate": 3,
    "enter": 4,
}
"""By name of the operation; 0 if it is not here."""
_PLACES = {name: place for place, name in enumerate(HOST_OPERATIONS)}


def complexity(op: Op) -> int:
    """How much a reader must understand: 0 for a page that comes or goes, 4 for a guest."""
    return complexity_of(op.name)


def complexity_of(name: str) -> int:
    """As :func:`complexity`, of an operation's name."""
    return _COMPLEXITY.get(name, 0)


def setup_order(op: Op) -> tuple[int, tuple[int, ...]]:
    """The order in which a set-up reads best: VMs first, then what is done to them."""
    return place_in_list(op), () if op.is_seamcall else op.args


def place_in_list(op: Op) -> int:
    """Where an operation stands in the list of all; raw SEAMCALLs come last."""
    return _PLACES.get(op.name, len(_PLACES))
