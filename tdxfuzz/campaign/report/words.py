"""The sentences that reports share."""

from __future__ import annotations

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
    return f"Nothing found in {of}: {summary.verdict}"


def what_clean_means(data: Data) -> str:
    """What one may conclude where nothing was found, and what not."""
    cpus = " or ".join(map(str, data.settings.cpus))
    return (
        "A clean cell means: in the cases counted here, of up to a few operations on each of "
        f"{cpus} simulated CPUs, what the check watches for did happen, and the check did not "
        "fire. It is no proof: orders that were not drawn were not seen. `tdxfuzz verify` tries "
        f"all orders of a scenario. All of it holds for the model of module {MODEL_VERSION}, at "
        "the granularity of one shared access."
    )


def deaf(shown: ShownFinding) -> str:
    """That some checks did not listen, and what that means; "" if all did."""
    if not shown.deaf:
        return ""
    return (
        f"Met while {', '.join(shown.deaf)} did not listen, having found something here before: "
        "it may follow from that."
    )
