"""A chart of what PAMT costs, over the number of TDs: static, and dynamic at 4KB and at 2MB."""

from __future__ import annotations

from attrs import evolve

from tdxfuzz.survey.line_chart import Curve, Tick, line_chart
from tdxfuzz.survey.memory_cost import PAIR, Td, TdmrSize, cost

STEPS = 4
"""Parts of each axis."""


def memory_chart(ram: int, tdmrs: tuple[TdmrSize, ...], max_pa: int, tds: int, td: Td) -> str:
    """The chart as SVG.

    Args:
        ram: bytes of memory.
        tdmrs: as in :func:`~tdxfuzz.survey.memory_cost.cost`.
        max_pa: as there.
        tds: so many TDs are at the right end.
        td: what each is like; ``huge`` of its memory is mapped at 2MB in one curve, none in the
            other.
    """
    idle = cost(ram, tdmrs, max_pa)

    def dynamic(number: int, each: Td) -> int:
        return idle.dynamic_total + cost(ram, tdmrs, max_pa, number, each).pairs * PAIR

    at_4k = evolve(td, huge=0.0)
    named = [("static", [idle.static_total] * 2)]
    named.append(("dynamic, all at 4KB", [dynamic(number, at_4k) for number in (0, tds)]))
    if td.huge:
        told = f"dynamic, {td.huge:.0%} at 2MB"
        named.append((told, [dynamic(number, td) for number in (0, tds)]))
    most = max(max(amounts) for _, amounts in named)
    return line_chart(
        "Memory that PAMT takes, over TDs",
        f"TDs of {td.memory / (1 << 30):g} GiB; upwards: memory that PAMT takes, pairs at least",
        # Pairs are so many for each TD: two points make a line.
        [Curve(name, [(0.0, first / most), (1.0, last / most)]) for name, (first, last) in named],
        [Tick(n / tds, str(n)) for n in sorted({tds * i // STEPS for i in range(STEPS + 1)})],
        [Tick(i / STEPS, human(round(most * i / STEPS))) for i in range(STEPS + 1)],
    )


def human(amount: int) -> str:
    """``"4.01 GiB"``."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"
