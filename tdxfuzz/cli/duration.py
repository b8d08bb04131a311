"""``60s``, ``2m``, ``1h`` on the command line."""

from __future__ import annotations

import math
import re

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """A time in seconds: a number with an optional unit."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration; write 60s, 2m or 1h", param, ctx)
        seconds = float(match.group(1)) * _UNITS[match.group(2)]
        if math.isinf(seconds):
            self.fail("a duration of so many digits never ends; write 60s, 2m or 1h", param, ctx)
        return seconds
