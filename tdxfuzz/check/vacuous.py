"""When a clean search of one scenario has shown nothing.

A scenario is a few operations, so most checks never meet in it what they look for: `map-zap` has no
retry loop, and nothing there can livelock. Its user knows what he chose. What he cannot know is
whether the CPUs met at all. So one situation decides.
"""

from __future__ import annotations

from collections.abc import Container

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.check import ALL_CHECKS

DECIDES = "refcount"
DECIDES_IF_HOSTILE = "module-fatal"
"""The check whose witness must have occurred. Where checks are named, it is one of those."""


def never_happened(design_name: str, named: tuple[str, ...], seen: Container[str]) -> str:
    """What had to happen in a search of one scenario and never did; "" if it did.

    Args:
        design_name: as it stands in cases.
        named: the checks that the user named, if any.
        seen: the checks whose witness occurred.
    """
    decide = named or (DECIDES_IF_HOSTILE if design_name == HOSTILE else DECIDES,)
    if any(check in seen for check in decide):
        return ""
    return f"it never happened that {' or '.join(ALL_CHECKS[one].witness for one in decide)}"
