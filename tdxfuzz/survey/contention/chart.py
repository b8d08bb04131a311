"""A chart of points: the share of CPU time that is lost by waiting, over the number of CPUs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tdxfuzz.survey.contention.measure import Point
from tdxfuzz.survey.line_chart import Curve, Tick, line_chart

LOW = -4
"""The axis begins at 0.01 %: less is nothing."""


def chart(points: Sequence[Point]) -> str:
    """The chart as SVG; both axes are logarithmic."""
    most = math.log2(max([point.cpus for point in points], default=2)) or 1.0

    def across(cpus: int) -> float:
        return math.log2(cpus) / most

    def up(share: float) -> float:
        return max(1 - math.log10(max(share, 1e-9)) / LOW, 0.0)

    names = list(dict.fromkeys(point.design for point in points))
    curves = []
    for name in names:
        own = sorted((p for p in points if p.design == name), key=lambda p: p.cpus)
        curves.append(Curve(name, [(across(p.cpus), up(p.waiting + p.lines)) for p in own]))
    return line_chart(
        "Share of CPU time lost by waiting, over CPUs",
        "CPUs; upwards: share of time lost",
        curves,
        [Tick(across(cpus), str(cpus)) for cpus in sorted({point.cpus for point in points})],
        [Tick(up(10.0**power), f"{100 * 10.0**power:g} %") for power in range(LOW, 1)],
    )
