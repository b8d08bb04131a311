"""A line chart as SVG that needs nothing beside it: a curve for each name, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from attrs import frozen

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 130, 14, 36
APART = 12
"""Pixels between the names of two curves that end at one height."""

STYLE = """
.tdx-chart{--ink:#1b1f24;--soft:#58616d;--line:#d7dbe0;font:11px system-ui,sans-serif}
@media (prefers-color-scheme:dark){.tdx-chart{--ink:#e6e8eb;--soft:#a0a8b2;--line:#343b44}}
.tdx-chart text{fill:var(--soft)}.tdx-chart .grid{stroke:var(--line)}
.tdx-chart polyline{fill:none;stroke-width:2;stroke-linejoin:round}
""".strip()

COLOURS = ("#2f78d8", "#d2691e", "#2f9e55", "#a05ac8", "#c8a000", "#20a0a8", "#d05080")


@frozen
class Curve:
    """Points from left to right; both of their numbers are 0 to 1, from the corner of the axes."""

    name: str
    points: Sequence[tuple[float, float]]


@frozen
class Tick:
    """A place on an axis, 0 to 1, and what stands there."""

    at: float
    text: str


def line_chart(
    title: str, caption: str, curves: Sequence[Curve], x: Sequence[Tick], y: Sequence[Tick]
) -> str:
    """The chart; ``caption`` stands below the axis, and says what both axes are."""
    left, _ = _place(0, 0)
    rows = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" class="tdx-chart" role="img" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">'
        ),
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
    ]
    for tick in y:
        _, at = _place(0, tick.at)
        rows.append(
            f'<line class="grid" x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{left - 6:.1f}" y="{at + 4:.1f}" text-anchor="end">'
            f"{escape(tick.text)}</text>"
        )
    for tick in x:
        at, _ = _place(tick.at, 0)
        rows.append(
            f'<text x="{at:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{escape(tick.text)}</text>'
        )
    rows.append(f'<text x="{left:.1f}" y="{HEIGHT - 4}">{escape(caption)}</text>')
    names = _names(curves)
    for i, curve in enumerate(curves):
        colour = COLOURS[i % len(COLOURS)]
        told = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(*at) for at in curve.points))
        end, _ = _place(*curve.points[-1])
        rows.append(
            f'<polyline points="{told}" stroke="{colour}"/>'
            f'<text x="{end + 6:.1f}" y="{names[i] + 4:.1f}" style="fill:{colour}">'
            f"{escape(curve.name)}</text>"
        )
    return "\n".join([*rows, "</svg>"]) + "\n"


def _place(x: float, y: float) -> tuple[float, float]:
    return LEFT + (WIDTH - LEFT - RIGHT) * x, TOP + (HEIGHT - TOP - BOTTOM) * (1 - y)


def _names(curves: Sequence[Curve]) -> list[float]:
    """The heights of the names: where each curve ends, or below the name above it."""
    ends = [_place(*curve.points[-1])[1] for curve in curves]
    lowest = TOP - APART * 1.0
    heights = [0.0] * len(curves)
    for i in sorted(range(len(curves)), key=lambda i: ends[i]):
        lowest = heights[i] = max(ends[i], lowest + APART)
    return heights
