"""lock-leak: once all calls have returned, the module holds no lock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check
from tdxfuzz.module.snapshot import all_tdrs

if TYPE_CHECKING:
    from tdxfuzz.host.host import Host
    from tdxfuzz.module.lock import HpLock, MutexLock, SharexLock
    from tdxfuzz.sim import Outcome


class LockLeak(Check):
    """A lock of the module is still held when no SEAMCALL is in flight. A failed shared acquire
    adds a sharer; the release by the holder must remove it.
    """

    id = "lock-leak"
    source = "tdx_locks.h: acquire and release; a failed shared acquire adds a sharer"
    witness = "SEAMCALLs of two CPUs overlapped"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.in_flight.calls_met

    def at_rest(self, outcome: Outcome) -> None:
        if self.host.module.dead is not None:
            # The call that shut the module down kept its locks, and no call can lock any more.
            return
        for lock in module_locks(self.host):
            if lock.is_held:
                self.report(
                    f"{lock.name} is still held ({lock.word:#x}) although no call is in flight",
                    objects=lock.name.partition("[")[0],
                )
                return


def module_locks(host: Host) -> Iterator[HpLock | SharexLock | MutexLock]:
    """Every lock of the module that a call has touched, in a fixed order."""
    module = host.module
    yield module.system.lock
    yield module.keys.lock
    for writeback in module.keys.writeback:
        yield writeback.lock
    for tdmr in module.pamt.tdmrs:
        yield tdmr.lock
    for block in module.pamt.blocks.values():
        yield block.entry_1g
    for node in module.pamt.nodes():
        yield node
        if module.pamt.dynamic and node.is_node:
            for page in node.backing:
                yield from (entry for _, entry in sorted(page.entries.items()))
    for tdr in all_tdrs(module):
        yield tdr.tdcs.op_state_lock
        yield tdr.tdcs.secure_ept_lock
        yield tdr.tdcs.epoch_lock
