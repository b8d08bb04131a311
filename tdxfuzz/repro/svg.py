"""The lanes view: a picture of a run with a lane for each CPU. Time goes from top to bottom.

A SEAMCALL is a box: its height is its duration, its answer is inside. An arrow between lanes
shows a switch to another CPU. The picture needs no other text.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence

from attrs import frozen

from tdxfuzz.repro.answers import ERROR, EXPECTED, OK, OPEN
from tdxfuzz.repro.lines import Line
from tdxfuzz.repro.markup import xml_text
from tdxfuzz.repro.story import Story, story_of
from tdxfuzz.run.result import Run

PAD = 8
TOP = 44


@frozen
class Lanes:
    """How wide things are, in pixels; ``characters`` fit into a lane, a lane ends with a
    ``margin``, numbers of steps begin at ``steps``.
    """

    gutter: int
    lane: int
    row: int
    characters: int
    margin: int
    steps: int
    css: str = "tdx-lanes"

    def x(self, cpu: int) -> int:
        """Where the text of a CPU begins."""
        return self.gutter + cpu * self.lane + PAD

    def y(self, row: int) -> int:
        """The top of a row."""
        return TOP + row * self.row


WIDE = Lanes(gutter=56, lane=380, row=17, characters=48, margin=20, steps=PAD)
NARROW = Lanes(
    gutter=26, lane=154, row=14, characters=22, margin=12, steps=0, css="tdx-lanes narrow"
)
"""Two lanes are to be seen side by side on a phone of 390 pixels."""

STYLE = """
.tdx-lanes{font:12px ui-monospace,Menlo,Consolas,monospace;--ink:#1b1f24;--soft:#667;--line:#c9ced6;
--ok:#e6f4ea;--okline:#3d8b54;--busy:#fff3d6;--busyline:#b7791f;--bad:#fde8e8;--badline:#c53030}
@media (prefers-color-scheme:dark){.tdx-lanes{--ink:#e6e8eb;--soft:#9aa3ad;--line:#444c56;
--ok:#16321f;--okline:#57ab71;--busy:#3a2d10;--busyline:#d9a441;--bad:#421c1c;--badline:#f08080}}
.tdx-lanes text{fill:var(--ink)}.tdx-lanes .soft{fill:var(--soft)}
.tdx-lanes .op{font-weight:600}.tdx-lanes .head{font-weight:700;font-size:14px}
.tdx-lanes .lane{stroke:var(--line);stroke-width:1;stroke-dasharray:2 4}
.tdx-lanes .go{stroke:var(--soft);fill:none;stroke-width:1.5}.tdx-lanes .tip{fill:var(--soft)}
.tdx-lanes rect{stroke-width:1.3}.tdx-lanes .ok{fill:var(--ok);stroke:var(--okline)}
.tdx-lanes .busy{fill:var(--busy);stroke:var(--busyline)}
.tdx-lanes .bad{fill:var(--bad);stroke:var(--badline)}
.tdx-lanes .open{fill:none;stroke:var(--soft);stroke-dasharray:4 3}
""".strip()


NARROW_STYLE = """
.tdx-lanes.narrow{font-size:10px}.tdx-lanes.narrow .head{font-size:12px}
""".strip()

BOXES = {OK: "ok", EXPECTED: "busy", ERROR: "bad", OPEN: "open"}
"""The class of a SEAMCALL's box, by its answer."""


@frozen
class _Item:
    """A line where it is drawn: its rows of text, and the row it begins in."""

    line: Line
    rows: tuple[str, ...]
    top: int

    @property
    def bottom(self) -> int:
        """The row after its last."""
        return self.top + len(self.rows)


def svg(run: Run, lanes: Lanes = WIDE) -> str:
    """A traced run as a picture, for a page or a file of its own.

    Raises:
        ValueError: the run kept no trace.
    """
    cpus = run.cpus
    items = _placed(story_of(run), cpus, lanes)
    width = lanes.x(cpus)
    height = lanes.y(items[-1].bottom if items else 0) + 2 * PAD
    style = STYLE if lanes is WIDE else f"{STYLE}\n{NARROW_STYLE}"
    finding = run.finding
    title = "nothing shows" if finding is None else f"{finding.check}: {finding.message}"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{lanes.css}" role="img" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        ),
        f"<title>{xml_text(f'{run.case.design}: {title}')}</title>",
        f"<style>{style}</style>",
        _text(lanes.steps, TOP - 24, "step", "soft"),
    ]
    for cpu in range(cpus):
        x = lanes.x(cpu)
        parts.append(_text(x, TOP - 24, f"CPU {cpu}", "head"))
        parts.append(
            f'<line class="lane" x1="{x - 8}" y1="{TOP - 16}" x2="{x - 8}" y2="{height - PAD}"/>'
        )
    parts += _boxes(items, lanes)
    parts += _arrows(items, lanes)
    for item in items:
        parts += _words(item, cpus, lanes)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _placed(story: Story, cpus: int, lanes: Lanes) -> list[_Item]:
    lines = list(story.lines)
    if story.before:
        lines.insert(0, Line(None, 0, "before", f"before: {'; '.join(story.before)}"))
    items: list[_Item] = []
    row = 0
    for line in lines:
        wide = line.kind in ("mark", "before")
        most = lanes.characters * (cpus if wide else 1)
        rows = textwrap.wrap(line.text, most, subsequent_indent="  ", break_on_hyphens=False)
        if items and (items[-1].line.cpu != line.cpu or line.kind in ("mark", "op")):
            row += 1
        items.append(_Item(line, tuple(rows), row))
        row += len(rows)
    return items


def _boxes(items: Sequence[_Item], lanes: Lanes) -> Iterator[str]:
    """A box for each SEAMCALL, from where it begins to where it returns."""
    begun: dict[int, _Item] = {}
    for item in items:
        line = item.line
        if line.kind != "call":
            continue
        if line.answer == OPEN:
            begun[line.cpu] = item
            continue
        first = begun.pop(line.cpu, item) if line.text.startswith("…") else item
        yield _box(line.cpu, first.top, item.bottom, BOXES[line.answer], lanes)
    for cpu, item in begun.items():
        yield _box(cpu, item.top, max(one.bottom for one in items), "open", lanes)


def _box(cpu: int, top: int, bottom: int, kind: str, lanes: Lanes) -> str:
    x, y = lanes.x(cpu) - 4, lanes.y(top) - 2
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{lanes.lane - lanes.margin}" '
        f'height="{(bottom - top) * lanes.row - 1}" rx="4"/>'
    )


def _arrows(items: Sequence[_Item], lanes: Lanes) -> Iterator[str]:
    """From the last thing a CPU did to the first thing of the CPU that goes on."""
    moving = [item for item in items if item.line.kind not in ("mark", "before")]
    for before, after in itertools.pairwise(moving):
        a, b = before.line.cpu, after.line.cpu
        if a == b:
            continue
        x1 = lanes.x(a) + lanes.lane / 2
        x2 = lanes.x(b) - 6 if b > a else lanes.x(b) + lanes.lane - lanes.margin - 4
        y1, y2 = lanes.y(before.bottom) - 3, lanes.y(after.top) + 6
        yield f'<path class="go" d="M{x1:g} {y1} C{x1:g} {y2} {x1:g} {y2} {x2:g} {y2}"/>'
        back = -7 if b > a else 7
        yield f'<path class="tip" d="M{x2:g} {y2} l{back} -4 v8 z"/>'


def _words(item: _Item, cpus: int, lanes: Lanes) -> Iterator[str]:
    line = item.line
    x = lanes.x(line.cpu)
    kind = {"op": "op", "host": "soft", "wait": "soft", "fold": "soft"}.get(line.kind, "")
    if line.kind in ("mark", "before"):
        x = lanes.x(0)
    if line.kind == "mark":
        yield (
            f'<rect class="bad" x="{x - 4}" y="{lanes.y(item.top) - 2}" '
            f'width="{cpus * lanes.lane - lanes.margin}" '
            f'height="{len(item.rows) * lanes.row + 2}" rx="4"/>'
        )
    if line.step is not None and line.kind not in ("op", "mark", "before"):
        yield _text(lanes.steps, lanes.y(item.top) + 11, str(line.step), "soft")
    for i, row in enumerate(item.rows):
        yield _text(x, lanes.y(item.top + i) + 11, row, kind)


def _text(x: int, y: int, text: str, kind: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" xml:space="preserve"{attribute}>{xml_text(text)}</text>'
