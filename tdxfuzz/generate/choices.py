"""Where the generator's choices come from: a random generator, or Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")


class Choices(Protocol):
    """Makes choices. The same answers give the same case."""

    def pick(self, values: Sequence[T], weights: Sequence[int]) -> T:
        """One of the values; ``weights`` are small whole numbers."""

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""

    def percent(self, chance: int) -> bool:
        """True in ``chance`` of 100 cases."""


class RandomChoices:
    """Choices of a pseudo-random generator."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def pick(self, values: Sequence[T], weights: Sequence[int]) -> T:
        return self._rng.choices(values, weights)[0]

    def below(self, limit: int) -> int:
        return self._rng.randrange(limit)

    def percent(self, chance: int) -> bool:
        return self._rng.random() * 100 < chance
