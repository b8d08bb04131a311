"""A reproducer as a mail: what breaks in a paragraph, and the trace in 72 columns."""

from __future__ import annotations

import textwrap

from tdxfuzz.module.module import MODEL_VERSION
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.page.rule import rule_of
from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.words import counted
from tdxfuzz.repro.write import to_toml
from tdxfuzz.run.result import Run

WIDTH = 72

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
    paragraphs = [
        f"Subject: {' '.join(subject.split())}",
        what,
        f"{_order(run)} {FOUND}",
    ]
    text = "\n\n".join(textwrap.fill(one, WIDTH, break_on_hyphens=False) for one in paragraphs)
    return "\n".join(
        [
            text,
            "",
            columns(run, WIDTH).rstrip(),
            "",
            "To reproduce, save this as race.tdx.toml:",
            "",
            textwrap.indent(to_toml(reproducer).rstrip(), "    "),
            "",
            "and run",
            "",
            f"    {command}",
            "",
        ]
    )


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
