"""The page: one file that opens from disk, with everything in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from tdxfuzz import __version__
from tdxfuzz.abi import CODES
from tdxfuzz.campaign.report.causes import Cause, causes
from tdxfuzz.campaign.report.charts import chart
from tdxfuzz.campaign.report.data import Data, Sample
from tdxfuzz.campaign.report.words import day, deaf, headline, sentence, what_clean_means
from tdxfuzz.campaign.summary import FAIL, NOT_WATCHED, PASS
from tdxfuzz.campaign.task import REPLAYS
from tdxfuzz.case.visible import visible
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.module.module import MODEL_VERSION
from tdxfuzz.repro.page.rule import rule
from tdxfuzz.repro.words import counted

MEBI = 1 << 20
SHADES = 6


@frozen
class TableCell:
    """A cell of the matrix: how it looks, what it says, where it leads, and why."""

    kind: str
    text: str
    link: str
    hint: str


@frozen
class HeatMap:
    """A cell of the heat map: how often, and its shade from 0 to ``SHADES``."""

    calls: int
    shade: int


def environment() -> Environment:
    """Where pages are made: all that is put into a template is escaped."""
    return Environment(
        loader=PackageLoader("tdxfuzz.campaign", "report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(data: Data) -> str:
    """The text of the page."""
    told = causes(data)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            data=data,
            causes=told,
            new=sum(shown.is_new for shown in data.shown),
            rules=[(name, rule(name)) for name in _named(told)],
            told=data.summary,
            headline=headline(data),
            clean=what_clean_means(data).replace("`", ""),
            checks=list(ALL_CHECKS),
            matrix=_matrix(data, told),
            charts=_charts(data.samples),
            heads=sorted({name for by_status in data.calls.values() for name in by_status}),
            codes={name: f"0x{code:08x}" for name, code in CODES.items()},
            heat=_heat(data.calls),
            witnesses=_witnesses(data),
            # Pictures are escaped where they are drawn.
            picture=Markup,
            day=day,
            sentence=sentence,
            counted=counted,
            replays=REPLAYS,
            deaf=deaf,
            version=__version__,
            model=MODEL_VERSION,
        )
        + "\n"
    )


def _named(told: Sequence[Cause]) -> list[str]:
    """The checks of the page: all there are, and what findings name beside them."""
    return list(dict.fromkeys([*ALL_CHECKS, *(cause.check for cause in told)]))


def _shown(value: object) -> object:
    """What cannot be seen is shown; the template escapes the rest."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value, "\n")
    return value


def _matrix(data: Data, told: Sequence[Cause]) -> list[tuple[str, list[TableCell]]]:
    anchors = {
        (shown.finding.design, cause.check): f"#finding-{i}"
        for i, cause in reversed(list(enumerate(told, 1)))
        for shown in cause.shown
    }
    rows = []
    for design in data.summary.designs:
        cells = []
        for check in ALL_CHECKS:
            cell = design.cell(check)
            seen = design.seen.get(check, 0)
            if cell == FAIL:
                cells.append(
                    TableCell("found", "found", anchors[design.name, check], "the check fired")
                )
            elif cell == PASS:
                hint = f"in {seen:,} cases {ALL_CHECKS[check].witness}"
                cells.append(TableCell("clean", f"✓ {_short(seen)}", "", hint))
            elif cell == NOT_WATCHED:
                cells.append(TableCell("none", "", "", "this check is off for this design"))
            else:
                hint = f"it never happened that {ALL_CHECKS[check].witness}"
                cells.append(TableCell("never", "never", "", hint))
        rows.append((design.name, cells))
    return rows


def _short(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{round(number / size, 1 if number < 10 * size else None):g}{letter}"
    return str(number)


def _charts(samples: Sequence[Sample]) -> list[tuple[str, Markup]]:
    rates = [
        (after.seconds, (after.cases - before.cases) / (after.seconds - before.seconds))
        for before, after in pairwise(samples)
        if after.seconds > before.seconds
    ]
    zero = (0.0, 0.0)
    drawn = (
        ("Features reached", [zero, *((s.seconds, float(s.features)) for s in samples)], ""),
        ("Buckets found", [zero, *((s.seconds, float(s.findings)) for s in samples)], ""),
        ("Cases per second", rates, ""),
        ("Memory of all processes", [(s.seconds, s.rss / MEBI) for s in samples], " MB"),
    )
    # The marks are made of numbers alone, by us.
    charts = [(name, Markup(chart(points, name, unit))) for name, points, unit in drawn]
    return [(name, picture) for name, picture in charts if picture]


def _heat(calls: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Mapping[str, HeatMap]]]:
    most = max((n for by_status in calls.values() for n in by_status.values()), default=1)
    scale = SHADES / max(math.log10(most + 1), 1e-9)
    return [
        (
            leaf,
            {name: HeatMap(n, max(round(math.log10(n + 1) * scale), 1)) for name, n in row.items()},
        )
        for leaf, row in calls.items()
    ]


def _witnesses(data: Data) -> tuple[list[str], list[tuple[str, list[int]]]]:
    names = list(dict.fromkeys(name for d in data.summary.designs for name in d.witnesses))
    rows = [
        (design.name, [design.witnesses.get(name, 0) for name in names])
        for design in data.summary.designs
    ]
    return names, rows
