"""Hypothesis profiles for pytest.

In the root ``conftest.py``::

    pytest_plugins = ["tdxfuzz.pytest_plugin"]

``dev``: quick, a new seed each time. ``ci``: a gate, the same examples each time.
``nightly``: many examples, kept in a database; what fails goes to our shrinker alone, for
Hypothesis's own would run as many cases again to end in the same reproducer. Choose with
``--hypothesis-profile=ci``.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase


def register_profiles() -> None:
    """Make ``dev``, ``ci`` and ``nightly`` known to Hypothesis.

    Each says itself whether it is random and what it remembers: on a CI machine
    Hypothesis takes its own ``ci`` profile as the default, and whatever is left unsaid
    would come from there.
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
        parent=settings.get_profile("ci"),
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
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target],
        derandomize=False,
        database=DirectoryBasedExampleDatabase(".hypothesis/nightly"),
        print_blob=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


register_profiles()
