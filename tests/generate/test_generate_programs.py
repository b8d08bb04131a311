"""Programs are drawn to meet."""

from __future__ import annotations

from collections import Counter
from random import Random

from tdxfuzz.case.operation import AREA_OPERATIONS, OPERATIONS
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.programs import LAYOUTS, draw_case
from tdxfuzz.run.result import Contention
from tdxfuzz.run.session import SetupError, run


def test_a_seed_gives_the_same_program_each_time() -> None:
    one, other = (draw_case(RandomChoices(Random(5)), "merged") for _ in range(2))
    assert one == other
    assert one != draw_case(RandomChoices(Random(6)), "merged")


def test_setups_never_fail_and_most_programs_meet() -> None:
    seen: Counter[Contention] = Counter()
    choices = RandomChoices(Random(1))
    for _ in range(200):
        try:
            seen[run(draw_case(choices, "merged")).contention] += 1
        except SetupError as error:
            raise AssertionError("a drawn setup failed") from error
    assert seen[Contention.EDGE] >= 40
    assert seen[Contention.NONE] <= 150


def test_every_layout_and_operation_occurs() -> None:
    choices = RandomChoices(Random(2))
    cases = [draw_case(choices, "merged") for _ in range(200)]
    assert {(c.world.guest_ranges, c.world.kernel_ranges) for c in cases} == set(LAYOUTS)
    names = {op.name for c in cases for program in c.programs for op in program}
    assert names == set(OPERATIONS) - set(AREA_OPERATIONS)
    assert 0 < sum(bool(c.faults) for c in cases) < 50


def test_more_cpus_get_a_program_each() -> None:
    case = draw_case(RandomChoices(Random(3)), "merged", cpus=4)
    assert case.world.cpus == 4
    assert all(case.programs)
