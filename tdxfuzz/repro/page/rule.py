"""The rule that a finding breaks, in words: for people who have not read the list of checks."""

from __future__ import annotations

import inspect

from attrs import frozen

from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.check.finding import Finding
from tdxfuzz.run.blame import CRASH, HANG
from tdxfuzz.run.cut_off import CUT_OFF


@frozen
class Rule:
    """A heading, what breaks the rule, and who says that it must hold."""

    title: str
    text: str
    source: str = ""


NO_RULES = {
    CRASH: Rule(
        "crash: the design's own code fails",
        "The design raised, or accessed memory that is not its own. No rule about the module is "
        "concerned. It may depend on the order.",
    ),
    HANG: Rule(
        "hang: the design's own code does not come back",
        "A CPU ran for seconds without a step. No other CPU can help it.",
    ),
    CUT_OFF: Rule(
        "cut-off: the run does not end",
        "It used up its steps, and went on when every CPU got its turn. This is no finding: "
        "nothing is known of how it would end.",
    ),
}


def rule_of(finding: Finding) -> Rule:
    """The rule that a finding is about."""
    return rule(finding.check)


def rule(check_id: str) -> Rule:
    """The rule of a check, by its id."""
    if check_id in NO_RULES:
        return NO_RULES[check_id]
    check = ALL_CHECKS[check_id]
    text = " ".join(inspect.cleandoc(check.__doc__ or "").split()).replace("``", "")
    return Rule(f"The rule {check.id} is broken if:", text, f"Who says so: {check.source}.")
