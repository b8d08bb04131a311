"""Which findings docs/findings.md describes: by design and bucket, the heading of the section."""

from __future__ import annotations

from attrs import frozen

from tdxfuzz.case.hostile import HOSTILE

PAGE = "docs/findings.md"

_NO_PAIR = "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/NO_PAMT_PAGE_PAIR/-"


@frozen
class KnownFinding:
    """A section of the page, as its heading stands there, and what it is about."""

    heading: str
    designs: tuple[str, ...]
    buckets: tuple[str, ...]


KNOWN = (
    KnownFinding(
        "RFC shape, v2 to v5: two puts remove the pair twice, and the count stays 1 without a pair",
        ("rfc", "v2", "v3", "v4", "v5", "v5-irqsave"),
        (_NO_PAIR,),
    ),
    KnownFinding(
        "Schemes that follow the module's hints: the module can be shut down",
        ("hint", "hint-retry"),
        (
            "module-fatal/TDH.MEM.PAGE.REMOVE/FATAL_201/module",
            "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range",
        ),
    ),
    KnownFinding(
        "`per-range-lock`",
        ("per-range-lock",),
        ("unexpected-status/PerRangeLock/WARN/PAMT.ADD failed: OPERAND_BUSY",),
    ),
    KnownFinding(
        "v3 to v5: a split clashes with another TD's get (reported 2026-06-11)",
        ("v3-base", "v3", "v4", "v5", "v5-irqsave"),
        (
            "pamt-in-use/TDH.PHYMEM.PAMT.ADD/OPERAND_BUSY/range",
            "unexpected-status/TDH.MEM.PAGE.DEMOTE/OPERAND_BUSY/-",
        ),
    ),
    KnownFinding(
        "v3, v4: the cache of a split runs dry when DEMOTE is tried again",
        ("v3", "v4"),
        ("cache-underflow/-/-/PAMT page",),
    ),
    KnownFinding(
        "v5: the lock is taken in a softirq (lockdep, 2026-02-06)",
        ("v5",),
        ("irq-safety/-/-/pamt_lock",),
    ),
    KnownFinding(
        "Hostile host: the module can be shut down by one PAMT.REMOVE (`FATAL_343`)",
        (HOSTILE,),
        ("module-fatal/TDH.PHYMEM.PAMT.REMOVE/FATAL_343/module",),
    ),
    KnownFinding(
        "Hostile host: the module writes to a page it has given back",
        (HOSTILE,),
        ("page-owner/-/-/PAMT page",),
    ),
    KnownFinding(
        "… and shuts down, if that page backs a range again (`FATAL_201`)",
        (HOSTILE,),
        (
            "module-fatal/TDH.MEM.PAGE.RELOCATE/FATAL_201/module",
            "module-fatal/TDH.MEM.PAGE.REMOVE/FATAL_201/module",
        ),
    ),
    KnownFinding(
        "Hostile host: a PAMT.ADD that is refused can be seen meanwhile",
        (HOSTILE,),
        ("linearizable/TDH.PHYMEM.PAGE.RDMD/SUCCESS/outputs",),
    ),
    KnownFinding(
        "Hostile host: a split is seen by a walk before it is counted",
        (HOSTILE,),
        ("linearizable/TDH.MNG.RD/SUCCESS/outputs",),
    ),
)


def known_heading(design: str, bucket: str) -> str:
    """The heading of the section that describes a finding, or "" if none does."""
    return next(
        (one.heading for one in KNOWN if design in one.designs and bucket in one.buckets), ""
    )


def known_text(design: str, bucket: str) -> str:
    """``"known: docs/findings.md, HEADING"``, or "" for a finding that is not known."""
    heading = known_heading(design, bucket)
    return f"known: {PAGE}, {heading.replace('`', '')}" if heading else ""


def known_buckets(design: str) -> frozenset[str]:
    """What is known of a design, or of a hostile host."""
    return frozenset(bucket for one in KNOWN if design in one.designs for bucket in one.buckets)
