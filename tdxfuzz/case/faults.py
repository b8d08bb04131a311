"""What can go wrong because a case says so.

=============  ==========================================================================
``alloc``      the allocator has no page (see :mod:`tdxfuzz.host.kernel.page`)
``busy``       a PAMT.ADD or REMOVE is refused as busy, though nobody is in its way
``refuse``     so is any SEAMCALL
``entropy``    a SEAMCALL answers RND_NO_ENTROPY; Linux repeats it at once, ten times at most
``interrupt``  an interrupt is pending while a SEAMCALL runs
=============  ==========================================================================

An index counts the SEAMCALLs that the programs make (for ``busy`` those of PAMT pages alone),
attempts that are repeated included. A design need not survive ``busy`` and ``refuse``: they ask
what if.
"""

from __future__ import annotations

ALLOC, BUSY, REFUSE, ENTROPY, INTERRUPT = "alloc", "busy", "refuse", "entropy", "interrupt"
KINDS = (ALLOC, BUSY, REFUSE, ENTROPY, INTERRUPT)

WHAT_IF = frozenset({BUSY, REFUSE})
"""Kinds that nothing brings about but the case."""
