"""The lazy scheme that came before the first posting: trust the module's hints."""

from __future__ import annotations

from tdxfuzz.host.design import EBUSY, EIO, ENOMEM, PageCache, RefcountLayer


class Hint(RefcountLayer):
    """No refcount: ADD before each use, REMOVE when the module hints that the range is empty.

    Described, and given up, in the cover letter of v3. The module's page count says how a
    range was used. It does not say that another CPU is about to use it.
    """

    message_id = "20250918232224.2202592-1-rick.p.edgecombe@intel.com"
    uses_hint = True
    tolerates = frozenset(
        {"OPERAND_BUSY", "HPA_RANGE_NOT_FREE", "PAMT_PAGE_NOT_EMPTY", "NO_PAMT_PAGE_PAIR"}
    )
    kvm_repeats = frozenset({"OPERAND_BUSY"})
    declared_leaks = frozenset({"idle-pair"})

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        status = self.pamt_add(pfn, pair)
        if status.ok:
            return 0
        self.free_pair(pair)
        if status.name == "HPA_RANGE_NOT_FREE":
            return 0
        return -EBUSY if status.busy else -EIO

    def put(self, pfn: int, hint: bool = False) -> None:
        if not hint:
            return
        status, pair = self.pamt_remove(pfn)
        while status.busy:
            self.cpu_relax()
            status, pair = self.pamt_remove(pfn)
        if pair is not None:
            self.free_pair(pair)

    def count_split(self, pfn: int) -> None:
        """Nothing: only the module counts."""

    def count_merged(self, pfn: int) -> None:
        """Nothing: only the module counts."""
