"""Buckets of the findings that docs/findings.md describes for a hostile host."""

from __future__ import annotations

KNOWN_HOSTILE = frozenset(
    {
        "linearizable/TDH.MNG.RD/SUCCESS/outputs",
        "linearizable/TDH.PHYMEM.PAGE.RDMD/SUCCESS/outputs",
        "module-fatal/TDH.MEM.PAGE.RELOCATE/FATAL_201/module",
        "module-fatal/TDH.MEM.PAGE.REMOVE/FATAL_201/module",
        "module-fatal/TDH.PHYMEM.PAMT.REMOVE/FATAL_343/module",
        "page-owner/-/-/PAMT page",
    }
)
