"""A chart of points: the share of CPU time that is lost by waiting, over the number of CPUs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from xml.sax.saxutils import escape

from tdxfuzz.survey.contention.measure import Point

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 130, 14, 36
LOW = -4
"""The axis begins at 0.01 %: less is nothing."""

STYLE = """
.tdx-chart{--ink:#1b1f24;--soft:#58616d;--line:#d7dbe0;font:11px system-ui,sans-serif}
@media (prefers-color-scheme:dark){.tdx-chart{--ink:#e6e8eb;--soft:#a0a8b2;--line:#343b44}}
.tdx-chart text{fill:var(--soft)}.tdx-chart .grid{stroke:var(--line)}
.tdx-chart polyline{fill:none;stroke-width:2;stroke-linejoin:round}
""".strip()

Place = Callable[[int, float], tuple[float, float]]
"""Where a number of CPUs and a share are drawn."""

COLOURS = ("#2f78d8", "#d2691e", "#2f9e55", "#a05ac8", "#c8a000", "#20a0a8", "#d05080")


def chart(points: Sequence[Point]) -> str:
    """The chart as SVG; both axes are logarithmic."""
    most = math.log2(max([point.cpus for point in points], default=2)) or 1.0

    def place(cpus: int, share: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * math.log2(cpus) / most
        power = max(math.log10(max(share, 1e-9)), LOW)
        return x, TOP + (HEIGHT - TOP - BOTTOM) * min(power / LOW, 1.0)

    names = list(dict.fromkeys(point.design for point in points))
    rows = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" class="tdx-chart" role="img" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">'
        ),
        "<title>Share of CPU time lost by waiting, over CPUs</title>",
        f"<style>{STYLE}</style>",
        *_axes(place(1, 1)[0], sorted({point.cpus for point in points}), place),
    ]
    ends: list[float] = []
    for i, name in enumerate(names):
        own = sorted((p for p in points if p.design == name), key=lambda p: p.cpus)
        curve = [place(point.cpus, point.waiting + point.lines) for point in own]
        colour = COLOURS[i % len(COLOURS)]
        told = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve)
        rows.append(f'<polyline points="{told}" stroke="{colour}"/>')
        x, y = curve[-1]
        while any(abs(y - other) < 12 for other in ends):
            y += 12
        ends.append(y)
        rows.append(
            f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" style="fill:{colour}">{escape(name)}</text>'
        )
    return "\n".join([*rows, "</svg>"]) + "\n"


def _axes(left: float, cpus: Iterable[int], place: Place) -> list[str]:
    rows = []
    for power in range(LOW, 1):
        _, y = place(1, 10.0**power)
        rows.append(
            f'<line class="grid" x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:.4g}</text>'
        )
    for number in cpus:
        x, _ = place(number, 1)
        rows.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{number}</text>')
    rows.append(f'<text x="{left:.1f}" y="{HEIGHT - 4}">CPUs; upwards: share of time lost</text>')
    return rows
