"""A host, whole: the machine, the TDX core with a design, and KVM's VMs."""

from __future__ import annotations

from typing import ClassVar

from tdxfuzz.case.case import Case
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kvm.guest import GuestProgram
from tdxfuzz.host.kvm.overrides import make_kvm
from tdxfuzz.host.kvm.paths import Kvm
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.host.result_error import check_calls_run, check_declarations
from tdxfuzz.host.tdx_core import TdxCore
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.sim import Declared, Simulator


class Host(TdxCore):
    """Everything one run needs, built anew for each case. Arguments are those of
    :class:`~tdxfuzz.host.tdx_core.TdxCore`.
    """

    STATE: ClassVar = Declared(parts="vms", fixed="kvm")

    def __init__(
        self, sim: Simulator, case: Case, layer: RefcountLayer, watch: HostWatch | None = None
    ) -> None:
        kind = layer.kvm or Kvm
        assert issubclass(kind, Kvm), f"{kind} is not derived from kvm.Kvm"
        check_calls_run(type(layer), RefcountLayer)
        check_declarations(type(layer))
        check_calls_run(kind, Kvm)
        super().__init__(sim, case, layer, watch)
        self.vms = [Vm(self, i) for i in range(case.world.tds)]
        self.kvm = make_kvm(kind, self)
        for lp in dict.fromkeys(self.lps[: case.world.cpus]):
            lp.guest = GuestProgram(self, self.vms, lp.id)
        sim.softirq_handler = self.kvm.run_callbacks
