"""Sparse schedules: the few places where a run leaves its default order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen, validators

MAX_STEP = (1 << 40) - 1
MAX_CPU = 63


@frozen(order=True)
class Switch:
    """Before step number ``step`` is performed, continue with CPU ``cpu``."""

    step: int = field(
        validator=[validators.instance_of(int), validators.ge(0), validators.le(MAX_STEP)]
    )
    cpu: int = field(
        validator=[validators.instance_of(int), validators.ge(0), validators.le(MAX_CPU)]
    )


@frozen
class Schedule:
    """Switches in ascending order of step.

    A switch that cannot apply (the step is never reached, the CPU is not runnable or runs already)
    does nothing. Several switches may have the same step: CPUs can change without a step between
    them.
    ``loop`` claims that the run is in the same state before the first of two steps and before
    the second: it could repeat the steps between them for ever.

    Raises:
        ValueError: they are out of order.
    """

    switches: tuple[Switch, ...] = ()
    loop: tuple[int, int] | None = None

    def __attrs_post_init__(self) -> None:
        if self.loop is not None and not 0 <= self.loop[0] < self.loop[1] <= MAX_STEP:
            raise ValueError(f"a loop goes from one step to a later one: {list(self.loop)}")
        for before, after in zip(self.switches, self.switches[1:], strict=False):
            if after.step < before.step:
                raise ValueError(
                    "switches must be in ascending order of step: "
                    f"{after.step} follows {before.step}"
                )

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Schedule:
        """From (step, cpu) pairs in any order; of two with one step the last counts."""
        return cls(tuple(Switch(step, cpu) for step, cpu in sorted(dict(pairs).items())))

    def __len__(self) -> int:
        return len(self.switches)

    def __iter__(self) -> Iterator[Switch]:
        return iter(self.switches)


EMPTY = Schedule()
