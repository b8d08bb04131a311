"""Buckets of the findings that docs/findings.md describes for a hostile host."""

from __future__ import annotations

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.repro.known import known_buckets

KNOWN_HOSTILE = known_buckets(HOSTILE)
