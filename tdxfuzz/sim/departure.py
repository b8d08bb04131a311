"""Where a run leaves the default order: what has to be written down to make it again."""

from __future__ import annotations

Switches = list[tuple[int, int]]
"""Changes of CPU: the step before which, and the CPU to go on with."""


def note_departure(order: Switches, switches: Switches, departure: tuple[int, int]) -> None:
    """Add a departure from the default order to ``order``.

    Whoever follows ``order`` takes one switch at each decision. So if CPUs were changed before at
    the same step, these changes belong to it as well, the default ones too.

    Args:
        order: the departures so far; it is changed.
        switches: all changes of CPU so far.
        departure: the step, and the CPU to go on with.
    """
    here, _ = departure
    while order and order[-1][0] == here:
        order.pop()
    first = len(switches)
    while first and switches[first - 1][0] == here:
        first -= 1
    order += [*switches[first:], departure]
