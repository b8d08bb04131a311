"""Hypothesis profiles: how many examples a test has, and how many orders an example."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

ORDERS = {"dev": 32, "ci": 64, "nightly": 64}
"""Of each profile, how many orders of one example's programs are run at the most, besides those
that Hypothesis drew."""

OTHER = 32
"""The same for profiles that are not ours."""

MILLISECONDS = 20
"""Of a test with a deadline, for one order. Most take 1 or 2, but machines differ."""


def register_profiles() -> None:
    """Register ``dev``, ``ci`` and ``nightly`` with Hypothesis.

    Each profile sets its randomness and its database itself, because on a CI machine
    Hypothesis fills unset fields from its own ``ci`` profile.
    """
    settings.register_profile(
        "dev",
        max_examples=50,
        derandomize=False,
        database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(
        "ci",
        max_examples=200,
        derandomize=True,
        database=None,
        print_blob=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(
        "nightly",
        max_examples=5_000,
        derandomize=False,
        database=DirectoryBasedExampleDatabase(".hypothesis/nightly"),
        print_blob=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def load_default() -> None:
    """Load ``dev`` unless somebody has chosen a profile: Hypothesis's own has a deadline, which is
    too short for many orders.
    """
    if _current() == "default":
        settings.load_profile("dev")


def most_orders() -> int:
    """How many orders of an example's programs are to be run, at the most.

    The profile says it. Few are run if the test has a deadline, as it has in Hypothesis's own
    profile: an example must not take longer.
    """
    most = ORDERS.get(_current(), OTHER)
    deadline = settings().deadline
    if deadline is None:
        return most
    return min(most, int(deadline.total_seconds() * 1000 / MILLISECONDS))


def _current() -> str:
    """The name of the profile that is loaded."""
    # The oldest Hypothesis that we allow has no public way to ask.
    return getattr(settings, "_current_profile", None) or "default"
