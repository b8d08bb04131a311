"""Hypothesis strategies: worlds, operations, SEAMCALLs, status words, schedules, whole cases.

::

    @given(cases("merged"))
    def test_no_race(case):
        assert_clean(case)

A design is named as on the command line, or it is the class itself: ``cases("merged")``,
``cases("mylayer.py:MyLayer")``, ``cases(MyLayer)``. A KVM of your own is named in the same way:
``cases("merged", kvm=NoTrack)``.

Hypothesis chooses the programs and a few preemptions before the run. It does not choose at every
step, because that would cost more than the run. It chooses one string of bytes, and the bytes make
the choices. If each choice were drawn by itself, Hypothesis would copy parts of one example into
the next ones, and half of the programs would come again.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate, cycle, islice
from typing import TypeVar

from hypothesis import strategies as st

from tdxfuzz.abi import CODES, OPERANDS, Status, status
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import SETUPS
from tdxfuzz.case.operation import HOST_OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import Choices
from tdxfuzz.generate.hostile_calls import HOSTILE_LEAVES, draw_call, fitting_calls
from tdxfuzz.generate.programs import LAYOUTS
from tdxfuzz.generate.running import draw_script
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import SetupError
from tdxfuzz.sim import HarnessError, Schedule
from tdxfuzz.testing.designs import AnyDesign, AnyKvm, named
from tdxfuzz.testing.kinds import draw_any, draw_start
from tdxfuzz.testing.run_cache import run_cache

T = TypeVar("T")

MAX_PREEMPTIONS = 3

CHOICE = 3
MOST_CHOICES = 160
"""Bytes of a choice, and how many choices a case has, about. A long history has more; it begins
again with the first."""

PARTS = 5
"""One preemption in so many comes anywhere, the others before a step that another CPU can
spoil."""


class _ByteChoices:
    """Choices made by bytes: three for each. After the last byte comes the first one again.

    Smaller bytes make smaller numbers, and zeros make the first choice everywhere.
    """

    def __init__(self, data: bytes) -> None:
        self._bytes = cycle(data)

    def pick(self, values: Sequence[T], weights: Sequence[int]) -> T:
        return values[bisect(list(accumulate(weights)), self.below(sum(weights)))]

    def below(self, limit: int) -> int:
        number = int.from_bytes(islice(self._bytes, CHOICE))
        return number * limit >> 8 * CHOICE

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance


def _choices(count: int) -> st.SearchStrategy[_ByteChoices]:
    """Bytes for so many choices."""
    return st.binary(min_size=CHOICE * count, max_size=CHOICE * count).map(_ByteChoices)


CHOICES = _choices(MOST_CHOICES)
"""Enough for a case."""

SCRIPT_CHOICES = _choices(3 * 4)
"""Enough for what a guest does: three actions at the most."""

OF_PREEMPTION = 3
"""Choices that a preemption takes: which cell, anywhere or not, which place."""


def worlds(cpus: int = 2) -> st.SearchStrategy[World]:
    """Worlds with ranges shared in every way the generators use."""
    return st.builds(
        lambda tds, slots, layout: World(cpus, tds, slots, layout[0], layout[1]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.sampled_from(LAYOUTS),
    )


def operations(world: World) -> st.SearchStrategy[Op]:
    """Any operation that a world has the TDs and slots for."""
    return st.one_of(
        *(
            st.builds(
                Op,
                st.just(name),
                st.tuples(*(_argument(world, what) for what in arguments)),
            )
            for name, arguments in HOST_OPERATIONS.items()
            if all(world.most(what) for what in arguments)
        )
    )


def _argument(world: World, what: str) -> st.SearchStrategy[int]:
    if what == "script":
        return SCRIPT_CHOICES.map(lambda choices: draw_script(choices, world))
    return st.integers(0, world.most(what) - 1)


def schedules(base: BaseRun, most: int = MAX_PREEMPTIONS) -> st.SearchStrategy[Schedule]:
    """Sparse schedules for programs whose run in the default order is known.

    Most of the preemptions come before a step that another CPU can spoil.
    """
    choices = _choices(1 + most * OF_PREEMPTION)
    return choices.map(lambda drawn: _draw_schedule(drawn, base, most))


def _draw_schedule(choices: Choices, base: BaseRun, most: int) -> Schedule:
    pairs = []
    for _ in range(choices.below(most + 1)):
        cell, part = divmod(choices.below(PARTS * max(len(base.conflicts), 1)), PARTS)
        if part and base.conflicts:
            places = base.conflicts[cell]
            pairs.append(places[choices.below(len(places))])
        else:
            pairs.append((choices.below(base.length), choices.below(base.run.contexts)))
    return Schedule.of(pairs)


def programs(
    design: AnyDesign = "merged", cpus: int = 2, kvm: AnyKvm | None = None
) -> st.SearchStrategy[Case]:
    """Cases without a schedule: a world, some TDs and pages, and a program for each CPU; for
    "hostile" a set-up, and raw SEAMCALLs. Some have 2MB pages, TDs that run or a long history, and
    some are standard scenarios, each about as often as in a hunt.

    Args:
        design: a built-in one by name, a class, or ``"FILE.py:Class"``.
        cpus: CPUs of each world.
        kvm: what it runs under: a class derived from ``Kvm``, or ``"FILE.py:Class"``.

    Raises:
        UnknownDesignError, DesignFileError, TypeError: there is no such design.
    """
    return programs_of(named(design, kvm).name, cpus)


def programs_of(name: str, cpus: int) -> st.SearchStrategy[Case]:
    """The same for a name as it stands in cases."""
    return CHOICES.map(lambda choices: draw_any(choices, name, cpus))


def starts_of(name: str, cpus: int) -> st.SearchStrategy[Case]:
    """The same without histories and standard scenarios: for the sake of their set-ups."""
    return CHOICES.map(lambda choices: draw_start(choices, name, cpus))


def setups() -> st.SearchStrategy[str]:
    """Names of set-ups that raw SEAMCALLs start from."""
    return st.sampled_from(sorted(SETUPS))


def seamcalls(setup: str) -> st.SearchStrategy[Op]:
    """A SEAMCALL with operands that mean something after a set-up, by its name: any leaf, or
    one that would succeed there.
    """
    fitting = [op for ops in fitting_calls(setup).values() for op in ops]
    leaves = st.sampled_from(HOSTILE_LEAVES)
    return st.one_of(
        st.sampled_from(fitting),
        st.builds(lambda choices, leaf: draw_call(choices, leaf, setup), CHOICES, leaves),
    )


def status_words() -> st.SearchStrategy[Status]:
    """Completion status words: what the module answers, and any 64 bits."""
    named = st.builds(
        lambda name, low: status(CODES[name] << 32 | low),
        st.sampled_from(sorted(CODES)),
        st.one_of(st.sampled_from(sorted(OPERANDS.values())), st.integers(0, (1 << 32) - 1)),
    )
    return st.one_of(named, st.integers(0, (1 << 64) - 1).map(status))


def bases(
    design: AnyDesign = "merged",
    cpus: int = 2,
    variant: str = DEFAULT.name,
    kvm: AnyKvm | None = None,
) -> st.SearchStrategy[BaseRun]:
    """Programs with their run in the default order: what :func:`schedules` needs. Arguments and
    errors are those of :func:`programs`; ``variant`` is of the module.
    """
    chosen = named(design, kvm)

    def base_of(case: Case) -> BaseRun:
        cache = run_cache(chosen.design)
        base = cache.base(case.on_module(variant))
        try:
            base.run  # noqa: B018  (the run is made here)
        except SetupError:
            cache.leave_out()
        except HarnessError:
            pass  # who asks for the run is told the same
        else:
            cache.failed = 0
        return base

    return programs_of(chosen.name, cpus).map(base_of)


def cases(
    design: AnyDesign = "merged",
    cpus: int = 2,
    most: int = MAX_PREEMPTIONS,
    kvm: AnyKvm | None = None,
) -> st.SearchStrategy[Case]:
    """Whole cases: programs, and one order of them with ``most`` preemptions at the most.

    :func:`tdxfuzz.assertions.assert_clean` tries more orders of the same programs. Arguments and
    errors are those of :func:`programs`.
    """
    chosen = named(design, kvm)

    def draw(choices: Choices) -> Case:
        case = draw_any(choices, chosen.name, cpus)
        try:
            schedule = _draw_schedule(choices, run_cache(chosen.design).base(case), most)
        except HarnessError:
            return case  # the test runs it, and is told the same
        return case.with_schedule(schedule)

    return CHOICES.map(draw)
