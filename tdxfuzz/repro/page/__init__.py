"""A reproducer as one HTML file to step through; it needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from tdxfuzz.repro.answers import ANSWER
from tdxfuzz.repro.known import known_text
from tdxfuzz.repro.lines import Line
from tdxfuzz.repro.markup import html_text
from tdxfuzz.repro.page.cards import Rows
from tdxfuzz.repro.page.frames import Played, play
from tdxfuzz.repro.page.nearest import nearest
from tdxfuzz.repro.page.rule import rule_of
from tdxfuzz.repro.page.short import in_short
from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.words import counted
from tdxfuzz.repro.write import to_toml
from tdxfuzz.run.session import Design

COLOURS = 4
"""CPUs beyond this many share colours."""


def page(reproducer: Reproducer, design: Design = None, command: str = "") -> str:
    """The text of the page: the order of the file, line by line with the state after each line,
    the rule that it breaks, and the nearest orders in which nothing shows.

    Args:
        reproducer: what is shown.
        design: the class that its case names, if it is not a built-in one.
        command: what replays the file in a shell.

    Raises:
        HarnessError: the file cannot be replayed.
        DesignError: the design failed before there was a host.
    """
    found = play(reproducer.case, design)
    others = nearest(found.run, design)
    orders = [found, *(play(other.case, design) for other in others)]
    shown = found.shown
    title = "Nothing shows in this order" if shown is None else f"{shown.check}: {shown.message}"
    case = reproducer.case
    name = html_text(case.design)
    sizes = (
        f"{counted(case.operations, 'operation')}, {counted(found.run.preemptions, 'preemption')}"
    )
    buttons = [_button(0, "the order of the file")]
    buttons += [_button(i, other.text) for i, other in enumerate(others, 1)]
    near = '<span class="soft">Nothing shows if instead</span>' if others else ""
    before = (
        f'<p class="soft">Before: {html_text("; ".join(found.before))}</p>' if found.before else ""
    )
    replay = f"<p>Reproduce with: <code>{html_text(command)}</code></p>" if command else ""
    cpus = found.run.cpus
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{name}: {html_text(title)}</title>
<style>
{_part("page.css")}</style>
</head>
<body>
<main style="--cpus:{cpus}">
<p class="soft">design <strong>{name}</strong>, {counted(cpus, "CPU")}, {sizes}</p>
<h1>{html_text(title)}</h1>
{_rule(found)}{_known(found)}{before}{_short(found)}
<div class="orders" role="group" aria-label="Orders">{buttons[0]}{near}{"".join(buttons[1:])}</div>
<div class="bar">
<button id="first" title="First line (Home)">|&lt;</button>
<button id="back" title="Back (left arrow)">&lt; Back</button>
<button id="step" title="Step (right arrow)">Step &gt;</button>
<button id="last" title="Last line (End)">&gt;|</button>
<button id="play" title="Play (space)" aria-pressed="false">Play</button>
<input id="at" type="range" min="0" value="0" aria-label="Line">
<output id="where" aria-live="polite"></output>
<select id="jump" aria-label="Jump to a call"></select>
</div>
<div class="both">
<div id="orders">
{"".join(_order(number, played) for number, played in enumerate(orders))}</div>
<aside id="state" aria-label="State after this line">
<noscript>The state at each line needs JavaScript. The lines do not.</noscript></aside>
</div>
<p class="soft keys">Keys: <kbd>→</kbd> <kbd>←</kbd> step, <kbd>n</kbd> <kbd>N</kbd> next and last \
call, <kbd>space</kbd> play, <kbd>Home</kbd> <kbd>End</kbd>, <kbd>0</kbd> to <kbd>{len(others)}\
</kbd> order. A7 is page 7 of the 2MB range A. Yellow is what a line has changed.</p>
{replay}<details><summary>The reproducer file</summary><pre>{html_text(to_toml(reproducer))}</pre>
</details>
</main>
<script type="application/json" id="data">{_data(orders)}</script>
<script>
{_part("page.js")}</script>
</body>
</html>
"""


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _rule(found: Played) -> str:
    if found.shown is None:
        return ""
    rule = rule_of(found.shown)
    source = f"<p>{html_text(rule.source)}</p>" if rule.source else ""
    told = f"<h2>{html_text(rule.title)}</h2><p>{html_text(rule.text)}</p>{source}"
    return f'<section class="rule">{told}</section>\n'


def _known(found: Played) -> str:
    shown = found.shown
    told = "" if shown is None else known_text(found.run.case.design, shown.bucket)
    return f"<p>{html_text(told.capitalize()[:5])}{html_text(told[5:])}</p>\n" if told else ""


def _short(found: Played) -> str:
    """What happens, before all the lines of it."""
    turns = in_short([frame.line for frame in found.frames])
    if found.shown is None or not turns:
        return ""
    rows = "".join(f"<li>{html_text(turn)}</li>" for turn in turns)
    return f'<ol class="short">{rows}<li>{html_text(found.shown.message)}</li></ol>\n'


def _button(number: int, text: str) -> str:
    return f'<button data-order="{number}" aria-pressed="false">{html_text(text)}</button>'


def _order(number: int, played: Played) -> str:
    heads = "".join(
        f'<span style="grid-column:{cpu + 2}">CPU {cpu}</span>' for cpu in range(played.run.cpus)
    )
    rows = [f'<li class="heads"><span class="step">step</span>{heads}</li>']
    quiet = played.shown is None
    rows += [_item(frame.line, quiet) for frame in played.frames]
    hidden = " hidden" if number else ""
    lines = "\n".join(rows)
    return f'<ol class="order"{hidden}>\n{lines}\n</ol>\n'


def _item(line: Line, quiet: bool) -> str:
    step = "" if line.step is None or line.kind in ("op", "mark") else str(line.step)
    text = line.text.removeprefix("^ ") if line.kind == "mark" else line.text
    call, equals, answer = text.rpartition(ANSWER) if line.kind == "call" else (text, "", "")
    if not equals:
        call, answer = text, ""
    told = html_text(call) + (f"{ANSWER}<i>{html_text(answer)}</i>" if answer else "")
    source = f" <small>[{html_text(line.source)}]</small>" if line.source else ""
    kinds = " ".join(filter(None, (line.kind, line.answer, "quiet" * quiet)))
    say = f"step {step}, CPU {line.cpu}: {text}" if step else f"CPU {line.cpu}: {text}"
    colour = f"--cpu:var(--cpu{line.cpu % COLOURS});--at:{line.cpu}"
    place = "" if line.kind == "mark" else f";grid-column:{line.cpu + 2}"
    who = "" if line.kind == "mark" else f'<span class="who">CPU {line.cpu} </span>'
    return (
        f'<li class="{kinds}" data-step="{step}" data-say="{html_text(say)}">'
        f'<span class="step">{step}</span>'
        f'<span class="text" style="{colour}{place}">{who}{told}{source}</span></li>'
    )


def _data(orders: Sequence[Played]) -> str:
    """The states as JSON: each card once, and for each line the numbers of its cards."""
    numbers: dict[tuple[str, Rows], int] = {}

    def number_of(name: str, rows: Rows) -> int:
        return numbers.setdefault((name, rows), len(numbers))

    frames = [
        [[number_of(*card) for card in frame.cards.items()] for frame in played.frames]
        for played in orders
    ]
    text = json.dumps({"cards": list(numbers), "orders": frames}, separators=(",", ":"))
    # Nothing in it may end the element that it stands in.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
