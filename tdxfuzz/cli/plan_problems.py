"""Options that a hunt's plan refuses are wrong usage: one line, exit 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.engines.plan import PlanError


@contextmanager
def plan_problems() -> Iterator[None]:
    """Around all that makes plans.

    Raises:
        UsageProblem: a plan was refused; the reason.
    """
    try:
        yield
    except PlanError as error:
        raise UsageProblem(error.reason) from None
