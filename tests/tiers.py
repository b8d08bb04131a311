"""Three tiers of tests: the quick one, the slow one, and those of minutes.

``pytest`` and ``make test`` run the quick tier. Tests marked ``slow`` come with ``make test-slow``,
and those that are marked ``long`` as well with ``make test-all`` alone. Where a test has many
parameters, some of them stay quick: no subject leaves the quick tier as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

slow = pytest.mark.slow

long = pytest.mark.long
"""Of slow tests: those of minutes. They come with ``make test-all`` alone."""

COLLECTED = pytest.StashKey[dict[str, str]]()
"""Of a run: the name and the tier of each test; for ``test_tiers.py``."""


def first_quick(count: int, values: Iterable[object]) -> list[object]:
    """All values as parameters of a test, slow after the first ``count``."""
    return [
        value if number < count else pytest.param(value, marks=slow)
        for number, value in enumerate(values)
    ]


SLOW_AND_LONG = (slow, long)


def only_quick(
    chosen: Collection[object],
    values: Iterable[object],
    rest: Collection[pytest.MarkDecorator] = (slow,),
) -> list[object]:
    """All values as parameters of a test, slow but for the chosen ones; ``rest`` are the marks of
    those.

    Raises:
        ValueError: a chosen one is no value.
    """
    values = list(values)
    for value in chosen:
        if value not in values:
            raise ValueError(f"{value!r} is not one of {values}")
    return [value if value in chosen else pytest.param(value, marks=rest) for value in values]
