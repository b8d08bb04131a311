"""page-leak: at rest, every allocated page has an owner that will free it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import hpa_of
from tdxfuzz.check.base import Check
from tdxfuzz.host.kvm.vm import Spte

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class PageLeak(Check):
    """A page is allocated at rest, but no VM, cache or held range owns it."""

    id = "page-leak"
    source = "v6 05/11: a refused REMOVE leaks its pair; nothing else may"
    witness = "every program ended, and a pair had been removed"

    def pair_removed(self, range_hpa: int) -> None:
        self.seen = True

    def at_rest(self, outcome: Outcome) -> None:
        host = self.host
        owned = self._owned_by_vms()
        for index, holders in host.holders.items():
            node = host.module.pamt.blocks[index >> 9].entry_2m(hpa_of(index << 9))
            if node.is_node and (holders.pages or "idle-pair" in host.layer.declared_leaks):
                owned.update(page.hpa >> 12 for page in node.backing)
        for pfn, what in sorted(host.pages.allocated.items()):
            if pfn not in owned:
                self.report(
                    f"{what} {host.layout.name_of_page(hpa_of(pfn))} is allocated, but no "
                    "owner will free it",
                    objects=what,
                )
                return

    def _owned_by_vms(self) -> set[int]:
        owned: set[int] = set()
        for vm in self.host.vms:
            owned.update(page for page in (vm.tdr_page, *vm.tdcs_pages) if page is not None)
            owned.update(
                spte.pfn
                for (level, _), spte in vm.sptes.items()
                if level > 0 and spte.value == Spte.PRESENT
            )
            owned.update(vm.split_pamt_cache.pages)
            owned.update(vm.split_sept_cache.pages)
            for vcpu in vm.vcpus:
                owned.update(page for page in (vcpu.tdvpr_page, *vcpu.tdcx_pages) if page)
                owned.update(vcpu.pamt_cache.pages)
                owned.update(vcpu.sept_cache.pages)
        for pages in self.host.page_lists():
            owned.update(pages.pages)
        return owned
