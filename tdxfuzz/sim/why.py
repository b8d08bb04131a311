"""Why somebody else has to be chosen."""

from __future__ import annotations

from enum import Enum


class Why(Enum):
    """Why somebody else has to be chosen."""

    START = "start"
    BLOCK = "block"
    YIELD = "yield"
    DONE = "done"
