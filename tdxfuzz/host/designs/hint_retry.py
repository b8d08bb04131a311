"""The lazy scheme with its retry: when a leaf misses the pair, ADD it and try again."""

from __future__ import annotations

from tdxfuzz.host.designs.hint import Hint


class HintRetry(Hint):
    """As ``hint``, and a leaf that answers MISSING_PAMT_PAGE_PAIR gets the pair and is repeated.

    The hold on a range then begins when the leaf succeeds: until then the pair may go.
    Described in the cover letter of v3 as what could not be made robust without loops.
    """

    retries_missing = True
