"""Faults: things that go wrong because the case says so."""

from __future__ import annotations

from attrs import field, frozen, validators

MAX_INDEX = (1 << 16) - 1


@frozen(order=True)
class Fault:
    """The ``index``-th occasion (from 0) of ``kind`` fails, e.g. ``alloc`` 3; with ``only``, the
    ``index``-th of those that have this name.
    """

    kind: str = field(validator=validators.instance_of(str))
    index: int = field(
        validator=[validators.instance_of(int), validators.ge(0), validators.le(MAX_INDEX)]
    )
    only: str = field(default="", validator=validators.instance_of(str))
