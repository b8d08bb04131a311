"""Public: Hypothesis strategies for worlds, operations, SEAMCALLs, schedules and whole cases."""

from tdxfuzz.testing.strategies import (
    bases,
    cases,
    operations,
    programs,
    schedules,
    seamcalls,
    setups,
    status_words,
    worlds,
)

__all__ = [
    "bases",
    "cases",
    "operations",
    "programs",
    "schedules",
    "seamcalls",
    "setups",
    "status_words",
    "worlds",
]
