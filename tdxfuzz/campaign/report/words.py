"""The sentences that reports share."""

from __future__ import annotations

from datetime import datetime

from tdxfuzz.campaign.report.data import Data, ShownFinding
from tdxfuzz.campaign.summary import FAIL
from tdxfuzz.module.module import MODEL_VERSION
from tdxfuzz.repro.words import counted


def headline(data: Data) -> str:
    """The verdict in a line."""
    summary = data.summary
    broken = sum(design.verdict == FAIL for design in summary.designs)
    of = counted(len(summary.designs), "design")
    if broken:
        number = counted(len(summary.findings), "finding")
        return f"{number} in {broken} of {of}"
    return f"No finding in {of}: {summary.verdict}"


def what_clean_means(data: Data) -> str:
    """What a clean cell means, and what it does not mean."""
    cpus = " or ".join(map(str, data.settings.cpus))
    return (
        "A clean cell means: the check could have fired in these cases, and it did not. A case "
        f"has a few operations on each of {cpus} simulated CPUs. A clean cell is not a proof, "
        "because only some orders were run. `tdxfuzz verify` runs all orders of a scenario. The "
        f"results hold for the model of module {MODEL_VERSION}, and CPUs switch only between "
        "single accesses to shared state."
    )


def deaf(shown: ShownFinding) -> str:
    """A sentence about the checks that were off, or "" if all were on."""
    if not shown.deaf:
        return ""
    return (
        f"Found while these checks were off, because they had a finding before: "
        f"{', '.join(shown.deaf)}. This finding may be a consequence of theirs."
    )


def day(wall: str) -> str:
    """``"2026-11-29 17:03 UTC"`` of a time in ISO 8601; what is no time is said as it is."""
    try:
        return datetime.fromisoformat(wall).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return wall


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
