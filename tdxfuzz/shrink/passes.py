"""All passes of the shrinker: the biggest steps first."""

from __future__ import annotations

from tdxfuzz.shrink.candidate import Pass
from tdxfuzz.shrink.leave_out import (
    into_setup,
    without_cpus,
    without_faults,
    without_operations,
    without_setup,
)
from tdxfuzz.shrink.rebuild import one_operation, two_operations
from tdxfuzz.shrink.simplify import (
    exchanged_cpus,
    shorter_scripts,
    simpler_operations,
    simpler_worlds,
    smaller_arguments,
    sorted_programs,
    sorted_setup,
    tds_at_rest,
    zero_registers,
)

PASSES: tuple[Pass, ...] = (
    without_cpus,
    exchanged_cpus,
    without_operations,
    into_setup,
    tds_at_rest,
    shorter_scripts,
    without_faults,
    one_operation,
    two_operations,
    simpler_operations,
    without_setup,
    simpler_worlds,
    smaller_arguments,
    zero_registers,
    sorted_programs,
    sorted_setup,
)
"""In the order in which they are tried."""
