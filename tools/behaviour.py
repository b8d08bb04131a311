"""``docs/behaviour.md``: leaf x status: what the model can give, and what shows it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tdxfuzz.abi import BY_NUMBER, status

HEAD = """# What each leaf can answer, and how we know

Words: the [glossary](glossary.md).

Made by `python -m tools`; a test keeps it true. For each leaf the statuses that the model's code
can give (read from its source), with what shows each of them:

- **recorded** N: so many recorded calls of the real module gave it, and the model with them;
- **tested**: tests in `tests/module` reach it, written from the public source;
- **source only**: the source has it and the model does not, with the reason.

Every status a modelled leaf can give is recorded or tested.
"""

NEVER: Mapping[str, Mapping[str, str]] = {
    "TDH.PHYMEM.PAGE.WBINVD": {
        "MISSING_PAMT_PAGE_PAIR": "a page of a range without a pair will do",
    },
    "TDH.VP.ADDCX": {"TDCS_NOT_ALLOCATED": "a TD with a vCPU had its TDCS pages first"},
    "TDH.VP.ENTER": {"TDCS_NOT_ALLOCATED": "a TD with a vCPU had its TDCS pages first"},
    "TDH.VP.INIT": {"TDCS_NOT_ALLOCATED": "a TD with a vCPU had its TDCS pages first"},
}
"""Statuses that only look producible: a helper gives them to other leaves alone."""

FROM_THE_DISPATCHER = frozenset({"OPERAND_INVALID", "SYS_NOT_READY", "SYS_SHUTDOWN"})
"""What any leaf can be answered before it is reached."""

WITHOUT_FREE_PAGE = (
    "TDH.MEM.PAGE.PROMOTE",
    "TDH.MEM.PAGE.REMOVE",
    "TDH.MEM.RANGE.BLOCK",
    "TDH.MEM.RANGE.UNBLOCK",
    "TDH.MEM.SEPT.RD",
    "TDH.MEM.SEPT.REMOVE",
    "TDH.MEM.TRACK",
    "TDH.MNG.INIT",
    "TDH.MNG.KEY.CONFIG",
    "TDH.MNG.KEY.FREEID",
    "TDH.MNG.RD",
    "TDH.MNG.VPFLUSHDONE",
    "TDH.MNG.WR",
    "TDH.MR.EXTEND",
    "TDH.MR.FINALIZE",
    "TDH.VP.ENTER",
    "TDH.VP.FLUSH",
    "TDH.VP.INIT",
)
"""Leaves all of whose page operands are pages in use: MISSING_PAMT_PAGE_PAIR is given for
pages that are to be free alone."""

SOURCE_ONLY: Mapping[str, Mapping[str, str]] = {
    "TDH.MEM.PAGE.ADD": {"INCOMPATIBLE_MRTD_CONTEXT": "measurement is not modelled"},
    "TDH.MEM.PAGE.DEMOTE": {"L2_SEPT_PAGE_NOT_PROVIDED": "no page has an L2 alias"},
    "TDH.MNG.ADDCX": {
        "RND_NO_ENTROPY": "the random source never runs dry",
        "TD_FATAL": "no TD becomes fatal without a guest that breaks its own rules",
    },
    "TDH.MNG.CREATE": {"RND_NO_ENTROPY": "the random source never runs dry"},
    "TDH.MNG.INIT": {
        "EVENT_FILTER_INVALID": "performance-monitoring event filters are not modelled",
        "EVENT_FILTER_ORDER_INVALID": "performance-monitoring event filters are not modelled",
        "INCONSISTENT_MSR": "MSRs are not modelled",
        "INCORRECT_MSR_VALUE": "MSRs are not modelled",
        "LIMIT_CPUID_MAXVAL_SET": "CPUID is not modelled",
    },
    "TDH.MNG.KEY.CONFIG": {
        "KEY_GENERATION_FAILED": "PCONFIG never fails",
        "TD_FATAL": "no TD becomes fatal without a guest that breaks its own rules",
    },
    "TDH.MR.EXTEND": {"INCOMPATIBLE_MRTD_CONTEXT": "measurement is not modelled"},
    "TDH.MR.FINALIZE": {"INCOMPATIBLE_MRTD_CONTEXT": "measurement is not modelled"},
    "TDH.SYS.INIT": {
        **dict.fromkeys(
            (
                "CPUID_LEAF_1F_FORMAT_UNRECOGNIZED",
                "CPUID_LEAF_NOT_SUPPORTED",
                "INCORRECT_CPUID_VALUE",
                "INVALID_WBINVD_SCOPE",
                "LIMIT_CPUID_MAXVAL_SET",
            ),
            "CPUID is not modelled",
        ),
        **dict.fromkeys(
            (
                "INCORRECT_MSR_VALUE",
                "INVALID_SMRR_CONFIGURATION",
                "SMRR_LOCK_NOT_SUPPORTED",
                "SMRR_NOT_LOCKED",
                "SMRR_NOT_SUPPORTED",
                "SMRR_OVERLAPS_CMR",
            ),
            "MSRs are not modelled",
        ),
        "INCOMPATIBLE_SEAM_CAPABILITIES": "the CPU has all that the module needs",
        "RND_NO_ENTROPY": "the random source never runs dry",
        "SYS_INCOMPATIBLE_SIGSTRUCT": "the module was loaded as it was built",
    },
    "TDH.SYS.KEY.CONFIG": {
        "KEY_GENERATION_FAILED": "PCONFIG never fails",
        "OPERAND_BUSY": "PCONFIG never fails",
    },
    "TDH.SYS.LP.INIT": {
        "INCOMPATIBLE_SEAM_CAPABILITIES": "the CPU has all that the module needs",
        "INCONSISTENT_CPUID_FIELD": "CPUID is not modelled",
        "INCONSISTENT_MSR": "MSRs are not modelled",
        "INVALID_PKG_ID": "CPUID is not modelled",
        "LIMIT_CPUID_MAXVAL_SET": "CPUID is not modelled",
    },
    "TDH.VP.ENTER": {
        "INCONSISTENT_MSR": "MSRs are not modelled",
        "INCORRECT_MSR_VALUE": "MSRs are not modelled",
        "LIMIT_CPUID_MAXVAL_SET": "CPUID is not modelled",
        "NON_RECOVERABLE_TD": "exits that a guest cannot cause by what is modelled",
        "NON_RECOVERABLE_TD_NON_ACCESSIBLE": "no machine check ever happens",
        "NON_RECOVERABLE_TD_WRONG_APIC_MODE": "the local APIC is not modelled",
        "TD_FATAL": "no TD becomes fatal without a guest that breaks its own rules",
    },
    "TDH.VP.INIT": {"INCONSISTENT_MSR": "MSRs are not modelled"},
}
"""What the public source can answer and the model cannot, with the reason."""


def recorded(folder: Path) -> Counter[tuple[str, str]]:
    """How often each leaf gave each status in the recordings of a folder, and of those below."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                counts.update(_results(json.loads(line)))
    return counts


def _results(data: object) -> Iterator[tuple[str, str]]:
    """Leaf and status of every SEAMCALL in a line; an outcome's calls stand apart from them."""
    if isinstance(data, list):
        for item in data:
            yield from _results(item)
    if not isinstance(data, dict):
        return
    if data.get("leaf") in BY_NUMBER and data.get("status"):
        yield _pair(data["leaf"], data["status"])
    for outcome in data.get("outcomes", ()):
        for name in ("A", "B"):
            if outcome[name] is not None:
                yield _pair(data[name]["leaf"], outcome[name]["status"])
    for name, value in data.items():
        if name != "guest":  # TDCALLs have numbers of their own
            yield from _results(value)


def _pair(leaf: int, word: str) -> tuple[str, str]:
    return BY_NUMBER[leaf].name, status(int(word, 16)).name


def expected(producible: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """What each leaf can really give: without what only looks so."""
    kept = {}
    for leaf, names in producible.items():
        never = set(NEVER.get(leaf, ()))
        if leaf in WITHOUT_FREE_PAGE:
            never.add("MISSING_PAMT_PAGE_PAIR")
        kept[leaf] = names - never
    return kept


def unshown(
    producible: Mapping[str, frozenset[str]],
    counts: Mapping[tuple[str, str], int],
    tested: set[tuple[str, str]],
) -> list[str]:
    """Statuses nobody has seen, and statuses seen that the code seems unable to give."""
    wanted = {(leaf, name) for leaf, names in expected(producible).items() for name in names}
    seen = {pair for pair in tested | set(counts) if pair[0] in producible}
    problems = [f"{leaf}: {name} is never reached" for leaf, name in sorted(wanted - seen)]
    unexpected = sorted(pair for pair in seen - wanted if pair[1] not in FROM_THE_DISPATCHER)
    return problems + [f"{leaf}: {name} was seen, but is not expected" for leaf, name in unexpected]


def render(
    producible: Mapping[str, frozenset[str]],
    counts: Mapping[tuple[str, str], int],
    tested: set[tuple[str, str]],
) -> str:
    """The whole page."""
    parts = [HEAD, "\n| leaf | status | recorded | tested | |\n|---|---|---:|---|---|\n"]
    for leaf, names in sorted(expected(producible).items()):
        for name in sorted(names, key=lambda n: (n != "SUCCESS", n)):
            count = counts.get((leaf, name), 0)
            mark = "yes" if (leaf, name) in tested else ""
            parts.append(f"| {leaf} | `{name}` | {count or ''} | {mark} | |\n")
        for name, why in sorted(SOURCE_ONLY.get(leaf, {}).items()):
            parts.append(f"| {leaf} | `{name}` | | | source only: {why} |\n")
    return "".join(parts)
