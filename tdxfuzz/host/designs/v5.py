"""v5, January 2026: v4's get and put with PFNs; half a pair is unwound with the wrong index."""

from __future__ import annotations

from tdxfuzz.host.design import PageCache, Pair
from tdxfuzz.host.designs.v3 import alloc_pair_leaking
from tdxfuzz.host.designs.v4 import V4


class V5(V4):
    """Like ``v4``. If the second page of a pair cannot be allocated, the unwinding frees the
    wrong slot, and the first page is lost. S-EPT pages are put from an RCU callback, in a
    softirq, which may come while the lock is held.
    """

    frees_sept_from_rcu = True

    split_cache_per_vm = False
    message_id = "20260129011517.3545883-1-seanjc@google.com"

    def alloc_pair(self, cache: PageCache | None = None) -> Pair | None:
        return alloc_pair_leaking(self, cache)
