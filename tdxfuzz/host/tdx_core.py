"""The kernel's TDX core: get and put around the design, and who holds which pair.

Source: arch/x86/virt/vmx/tdx/tdx.c, ``tdx_pamt_get`` and ``tdx_pamt_put`` of the v6 series
(20260526023515.288829-1); which design does the work is the case's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from tdxfuzz.abi import Status
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.case.case import Case
from tdxfuzz.host.cells import Holders
from tdxfuzz.host.design import Pair, RefcountLayer
from tdxfuzz.host.kernel.errno import errno_name
from tdxfuzz.host.kernel.ida import Ida
from tdxfuzz.host.kernel.lock import Mutex
from tdxfuzz.host.kernel.page import PageCache
from tdxfuzz.host.machine import Machine
from tdxfuzz.host.result_error import ResultError
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.sim import RMW, Declared, Simulator


class TdxCore(Machine):
    """What KVM calls: a machine with a design, HKIDs, and the lock around their life.

    ``holders`` are the pages that hold each 2MB range, by its number (HPA >> 21).

    Args:
        sim: the simulator; its programs run the operations.
        case: world and faults are taken from it.
        layer: a fresh instance of the design.
        watch: who is told what happens.
    """

    STATE: ClassVar = Declared(parts="guest_keyids holders layer tdx_lock")

    def __init__(
        self, sim: Simulator, case: Case, layer: RefcountLayer, watch: HostWatch | None = None
    ) -> None:
        super().__init__(sim, case, watch)
        self.layer = layer
        self.holders: dict[int, Holders] = {}
        self.tdx_lock = Mutex(sim, "tdx_lock", self.held_locks)
        platform = self.module.platform
        # The lowest private HKID is the module's own: tdx_guest_keyid_start is one above.
        first = platform.private_hkid_min + 1
        self.guest_keyids = Ida(sim, "tdx_guest_keyid_pool", first, platform.private_hkid_max)
        layer.attach(self)
        self.workqueue.run_in_setup()

    def get(self, pfn: int, kind: str, cache: PageCache | None = None) -> int:
        """The design's ``get`` for a page that will be a ``kind``; the hold is noted."""
        if not self.world.dynamic_pamt:
            return 0
        self._enter("get", pfn, cached=cache is not None)
        local, cpu = self.sim.local, self.sim.current.id
        if local is not None:
            local.enter(cpu)
        result = self.layer.get(pfn, cache)
        if local is not None:
            local.leave(cpu, result)
        self._leave("get", pfn)
        if not isinstance(result, int) or result > 0:
            raise ResultError(
                type(self.layer),
                "get",
                f"{type(self.layer).__name__}.get() returned {result!r}; "
                "it must return 0 or a negative errno",
            )
        if result == 0:
            self.note("get", pfn, kind)
            if not self.layer.retries_missing:
                self.hold(pfn, kind)
        else:
            self.note("get", pfn, kind, errno_name(result))
            self.watch.get_failed(pfn, result)
        return result

    def hold(self, pfn: int, kind: str) -> None:
        """From now on a page needs its range's pair."""
        holders = self.holders_of(pfn)
        self.sim.step(holders, RMW)
        holders.pages[pfn] = kind
        self.watch.held(pfn, kind)

    def hold_all(self, pfns: Sequence[int], kind: str) -> None:
        """As :meth:`hold` for pages of one range, all at this moment: it was split."""
        if not self.world.dynamic_pamt:
            return
        holders = self.holders_of(pfns[0])
        self.sim.step(holders, RMW)
        for pfn in pfns:
            holders.pages[pfn] = kind
            self.watch.held(pfn, kind)

    def drop_all(self, pfns: Sequence[int], kind: str) -> None:
        """The reverse of :meth:`hold_all`: it was merged."""
        if not self.world.dynamic_pamt:
            return
        holders = self.holders_of(pfns[0])
        self.sim.step(holders, RMW)
        for pfn in pfns:
            if holders.pages.pop(pfn, None) is not None:
                self.watch.dropped(pfn, kind)

    def demote(
        self, pfn: int, cache: PageCache, page_demote: Callable[[Pair], Status]
    ) -> Status | None:
        """The design's ``demote`` of a 2MB page; None if there are no pages for a pair."""
        if not self.world.dynamic_pamt:
            return page_demote(())
        self._enter("demote", pfn, cached=True)
        status = self.layer.demote(pfn, cache, page_demote)
        self._leave("demote", pfn)
        return status

    def promote(self, pfn: int, page_promote: Callable[[], tuple[Status, Pair]]) -> Status:
        """The design's ``promote`` of a 2MB range."""
        if not self.world.dynamic_pamt:
            return page_promote()[0]
        self._enter("promote", pfn)
        status = self.layer.promote(pfn, page_promote)
        self._leave("promote", pfn)
        return status

    def put(self, pfn: int, kind: str, hint: bool = False) -> None:
        """The design's ``put``; without the module's hints the hold ends on entry."""
        if not self.world.dynamic_pamt:
            return
        holders = self._enter("put", pfn)
        if pfn in holders.pages:
            self.sim.step(holders, RMW)
            del holders.pages[pfn]
            self.watch.dropped(pfn, kind)
        local, cpu = self.sim.local, self.sim.current.id
        if local is not None:
            local.enter(cpu)
        if self.layer.uses_hint:
            self.note("put", pfn, kind, "hint" if hint else "no hint")
            self.layer.put(pfn, hint)
        else:
            self.note("put", pfn, kind)
            self.layer.put(pfn)
        if local is not None:
            local.leave(cpu, 0)
        self._leave("put", pfn)

    def page_gone(self, hpa: int) -> None:
        """The module has let go of a page; for hint designs that ends the hold on it.

        At this very instant, no step sooner or later: until now the freeing call itself
        used the pair, from now on somebody else's REMOVE may rightly succeed.
        """
        pfn = hpa >> 12
        holders = self.holders.get(pfn >> 9)
        if self.layer.uses_hint and holders is not None:
            kind = holders.pages.pop(pfn, None)
            if kind is not None:
                self.watch.dropped(pfn, kind)

    def _enter(self, what: str, pfn: int, cached: bool = False) -> Holders:
        """Tell that the current CPU calls the design for a page; the holders of its range."""
        holders = self.holders_of(pfn)
        self.note("enter", pfn, what)
        self.watch.entered(what, pfn, len(holders.pages), cached)
        return holders

    def _leave(self, what: str, pfn: int) -> None:
        """Tell that the design returned from what :meth:`_enter` told of."""
        self.note("leave", pfn, what)
        self.watch.left(what, pfn)

    def holders_of(self, pfn: int) -> Holders:
        """The holders of ``pfn``'s 2MB range."""
        index = pfn >> 9
        holders = self.holders.get(index)
        if holders is None:
            name = f"holders[{self.layout.name_of_range(hpa_of(pfn))}]"
            holders = self.holders[index] = Holders(self.sim, name)
        return holders
