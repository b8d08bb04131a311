"""A reproducer as a mail of 72 columns: what breaks in a paragraph, the trace, and the file, which
can be pasted as it stands.
"""

from __future__ import annotations

import re
import textwrap

from tdxfuzz.case.visible import visible
from tdxfuzz.module.module import MODEL_VERSION
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.folded_toml import folded
from tdxfuzz.repro.page.rule import rule_of
from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.words import counted
from tdxfuzz.repro.write import to_toml
from tdxfuzz.run.result import Run

WIDTH = 72
INDENT = "    "
"""Before what is to be pasted."""

FOUND = f"It was found with tdxfuzz on a model of module {MODEL_VERSION}, not on hardware."


def mail(reproducer: Reproducer, run: Run, command: str) -> str:
    """The text of the mail: what breaks, since which order, the trace, and how to reproduce it.

    Args:
        reproducer: the file.
        run: its run, traced.
        command: what replays the file in a shell.
    """
    shown = run.shown
    design = run.case.design
    if shown is None:
        subject, what = f"{design}: nothing shows", "In this order nothing shows."
    else:
        rule = rule_of(shown)
        subject = f"{design}: {shown.check}"
        what = f"{shown.message[:1].upper()}{shown.message[1:]}. {rule.title} {rule.text}"
        what += f" {rule.source}" if rule.source else ""
    text = "\n\n".join(
        [
            _filled(f"Subject: {' '.join(subject.split())}", after=" "),
            _filled(what),
            _filled(f"{_order(run)} {FOUND}"),
        ]
    )
    return "\n".join(
        [
            text,
            "",
            columns(run, WIDTH).rstrip(),
            "",
            "To reproduce, save this as race.tdx.toml:",
            "",
            textwrap.indent(folded(to_toml(reproducer), WIDTH - len(INDENT)).rstrip(), INDENT),
            "",
            "and run",
            "",
            *_command(command),
            "",
        ]
    )


def _filled(text: str, after: str = "") -> str:
    """A paragraph; each line but the first begins with ``after``."""
    told = visible(" ".join(text.split()))
    rows = textwrap.wrap(told, WIDTH - 1, subsequent_indent=after, break_on_hyphens=False)
    return "\n".join(f" {row}" if _MAILERS.match(row) else row for row in rows)


_MAILERS = re.compile(r"From |[.-]+ *$")
"""Lines that programs for mail take for the begin or the end of something."""


def _command(command: str) -> list[str]:
    """A command in as many lines as it needs. A shell reads them as one."""
    rows = textwrap.wrap(
        command,
        WIDTH - len(" \\"),
        initial_indent=INDENT,
        subsequent_indent=2 * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(f"{row} \\" for row in rows[:-1]), rows[-1]]


def _order(run: Run) -> str:
    """Which order it needs, in a sentence or two."""
    if run.told_by_setup:
        return "It shows on one CPU, before any other has a part in it."
    changes = [f"CPU {switch.cpu} takes over at step {switch.step}" for switch in run.order]
    if not changes:
        return "It shows with each CPU running to its end in turn: no CPU is preempted."
    several = counted(len(changes), "change")
    if len(changes) > MOST:
        return f"It needs an order with {several} of CPU, which the file lists."
    return f"It needs this order: {', then '.join(changes)}."


MOST = 6
"""More changes than this are no help in a sentence."""
