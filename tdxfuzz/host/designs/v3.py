"""v3 with its optimisation (08/16), September 2025: the RFC's shape; an error code is lost."""

from __future__ import annotations

from tdxfuzz.host.design import ENOMEM, PageCache, Pair, RefcountLayer


def alloc_pair_leaking(layer: RefcountLayer, cache: PageCache | None) -> Pair | None:
    """v3's loop over the pages of a pair: when one fails, those before it are forgotten."""
    pair: list[int] = []
    for _ in range(layer.pair_pages):
        page = layer.alloc_pamt_page(cache)
        if page is None:
            return None
        pair.append(page)
    return tuple(pair)


class V3(RefcountLayer):
    """Every get allocates a pair before the fast path. If ADD fails, get counts nothing but
    returns 0. If memory is out, half a pair is leaked.
    """

    message_id = "20250918232224.2202592-1-rick.p.edgecombe@intel.com"
    tolerates = frozenset({"HPA_RANGE_NOT_FREE"})
    split_cache_per_vm = True

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        pair = alloc_pair_leaking(self, cache)
        if pair is None:
            return -ENOMEM

        if refcount.inc_not_zero():
            self.free_pair(pair)
            return 0

        with self.pamt_lock:
            if refcount.read():
                refcount.inc()
                unused = True
            else:
                status = self.pamt_add(pfn, pair)
                unused = not status.ok
                if status.ok or status.name == "HPA_RANGE_NOT_FREE":
                    refcount.inc()

        if unused:
            self.free_pair(pair)
        return 0

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        if not refcount.dec_and_test():
            return

        with self.pamt_lock:
            if refcount.read():
                return  # lost the race with get
            _, pair = self.pamt_remove(pfn)
            if pair is None:
                refcount.inc()
                return

        self.free_pair(pair)
