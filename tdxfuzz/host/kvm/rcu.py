"""S-EPT pages freed from an RCU callback, in softirq context.

Source: v5 20260129011517.3545883-1, 20/45: ``tdp_mmu_free_sp_rcu_callback``. v6 frees them at
once. The callback runs on the CPU that asked for it, at any step after that: a grace period may
be short, and which readers delay it is not modelled.
"""

from __future__ import annotations

from tdxfuzz.host.kvm.control import ControlPaths
from tdxfuzz.sim import RMW


class RcuPaths(ControlPaths):
    """Pages that are freed later."""

    def call_rcu(self, pfn: int, kind: str, hint: bool) -> None:
        """``call_rcu``: the page is freed later, in the softirq of the current CPU."""
        host = self.host
        queue = host.rcu[host.sim.current.on]
        host.sim.step(queue, RMW)
        queue.callbacks.append((pfn, kind, hint))
        host.sim.raise_softirq()

    def run_callbacks(self) -> None:
        """``rcu_do_batch``: all that wait on the current CPU."""
        host = self.host
        local, cpu = host.sim.local, host.sim.current
        queue = host.rcu[cpu.on]
        if local is not None:
            local.enter(cpu.id)
        host.sim.step(queue, RMW)
        while queue.callbacks:
            self.free_control_page(*queue.callbacks.pop(0))
            host.sim.step(queue, RMW)
        if local is not None:
            local.leave(cpu.id, 0)
