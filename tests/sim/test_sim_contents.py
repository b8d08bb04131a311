"""What stands for a value in the key of a state, where hashes are made of it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tdxfuzz.sim import STATE, Declared
from tdxfuzz.sim.contents import SMALL, with_its_own_hash
from tdxfuzz.sim.local import LocalMemory

ALIKE = [(1, 1 << 61), (4, 1 << 63), (-1, -2), (0, (1 << 61) - 1), (-1, (1 << 61) - 2), (0, SMALL)]
"""Numbers that Python's hash of a number mixes up, and the first of those that are split."""


class Holds:
    """A word, alone and in a list."""

    STATE: ClassVar = Declared(shared="word words")

    def __init__(self, word: int) -> None:
        self.word = word
        self.words = [word]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_numbers_that_differ_have_hashes_that_differ(one: int, other: int) -> None:
    assert hash(with_its_own_hash(one)) != hash(with_its_own_hash(other))
    assert hash(STATE(Holds(one))) != hash(STATE(Holds(other)))
    assert hash(STATE([one])) != hash(STATE([other]))
    assert hash(STATE({0: one})) != hash(STATE({0: other}))


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_a_cpu_knows_which_of_them_a_call_returned(one: int, other: int) -> None:
    local = LocalMemory(2)
    for cpu, result in enumerate((one, other)):
        local.enter(cpu)
        local.leave(cpu, 0, result)
    assert local.known[0] != local.known[1]
