"""Line charts as SVG: one quantity over the time of a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 560, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 30
TICKS = 4


def chart(points: Sequence[tuple[float, float]], label: str, unit: str = "") -> str:
    """A curve through (seconds, value) points, with its axes; "" for less than two points."""
    if len(points) < 2:
        return ""
    last = points[-1][0] or 1.0
    most = _round_up(max(value for _, value in points))

    def place(seconds: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * seconds / last
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most)
        return f"{x:.1f},{y:.1f}"

    rows = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}"><title>{escape(label)}</title>'
        )
    ]
    for i in range(TICKS + 1):
        value = most * i / TICKS
        x, y = place(0, value).split(",")
        rows.append(
            f'<line class="grid" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text x="{LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">'
            f"{_short(value)}{unit}</text>"
        )
        x, _ = place(last * i / TICKS, 0).split(",")
        anchor = "end" if i == TICKS else "middle" if i else "start"
        rows.append(
            f'<text x="{x}" y="{HEIGHT - 10}" text-anchor="{anchor}">{_time(last * i / TICKS)}'
            "</text>"
        )
    rows.append(f'<polyline points="{" ".join(place(*point) for point in points)}"/></svg>')
    return "".join(rows)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 …."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 1.0
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= value)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
