"""The lazy scheme with its retry: if a leaf misses the pair, ADD it and repeat the leaf."""

from __future__ import annotations

from tdxfuzz.host.designs.hint import Hint


class HintRetry(Hint):
    """Like ``hint``, but if a leaf answers MISSING_PAMT_PAGE_PAIR, the host adds the pair and
    repeats the leaf.

    The hold on a range then begins when the leaf succeeds: until then the pair may go.
    Described in the cover letter of v3 as what could not be made robust without loops.
    """

    retries_missing = True
