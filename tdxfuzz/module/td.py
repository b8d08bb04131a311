"""A TD's control structures: TDR, TDCS and TDVPS, as far as PAMT depends on them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.module.lock import AtomicCount, NamedHpLock, SharexLock
from tdxfuzz.module.memory import Page
from tdxfuzz.sim import BLIND, EVENT, READ, RMW, WRITE, Declared, NamedCell, Variable

if TYPE_CHECKING:
    from tdxfuzz.module.sept import SecureEpt
    from tdxfuzz.module.sept_l2 import L2SecureEpt
    from tdxfuzz.sim import Simulator

MIN_TDCS_PAGES = 6
MAX_TDCS_PAGES = 9
SEPT_ROOT_PAGE_INDEX = 3
L2_SEPT_ROOT_PAGE_INDEX = 6
"""That of the first L2 VM; those of the others follow."""
MIN_TDVPS_PAGES = 6
MAX_TDVPS_PAGES = 15
MAX_L2_VMS = 3
NO_LP = 0xFFFF_FFFF
DEBUG = 1 << 0
SEPT_VE_DISABLE = 1 << 28
DEFAULT_HP_LOCK_TIMEOUT_USEC = 1_000_000


class Lifecycle(IntEnum):
    """TDR.LIFECYCLE_STATE."""

    HKID_ASSIGNED = 0
    KEYS_CONFIGURED = 1
    BLOCKED = 2
    TEARDOWN = 3


class OpState(IntEnum):
    """TDCS.OP_STATE; the states of migration are not reached by the modelled leaves."""

    UNINITIALIZED = 0
    INITIALIZED = 1
    RUNNABLE = 2


class VcpuState(IntEnum):
    """TDVPS.VCPU_STATE."""

    UNINITIALIZED = 0
    READY = 2
    ACTIVE = 4
    DISABLED = 8


class LastExit(IntEnum):
    """TDVPS.LAST_TD_EXIT."""

    ASYNC_FAULT = 0
    ASYNC_TRAP = 1
    TDVMCALL = 2


class TdEpoch(Variable[int]):
    """TD_EPOCH and its two REFCOUNTs, 128 bits that one instruction can read.

    ``refcount[e & 1]`` is the number of vCPUs that were entered in epoch ``e``, the current
    or the previous one, and have not exited since.
    """

    __slots__ = ("refcount", "refcount_name")

    STATE: ClassVar = Declared(shared="refcount", fixed="refcount_name")

    def __init__(self, sim: Simulator, tdr: int) -> None:
        super().__init__(sim, f"EPOCH[{tdr:#x}]", 0)
        self.refcount = [0, 0]
        self.refcount_name = f"REFCOUNT[{tdr:#x}]"

    def enter(self) -> int:
        """Count a vCPU in, with the epoch lock shared; the epoch it is counted in."""
        epoch = self.value
        self.sim.step(self, EVENT | RMW)
        self.refcount[epoch & 1] += 1
        if self.sim.log is not None:
            self.sim.log("xadd", "+1", self.refcount_name, True)
        return epoch

    def leave(self, epoch: int) -> None:
        """Count a vCPU out that was counted in in ``epoch``; no lock is needed."""
        self.sim.step(self, EVENT | RMW | BLIND)
        self.refcount[epoch & 1] -= 1
        if self.sim.log is not None:
            self.sim.log("xadd", "-1", self.refcount_name, True)

    def is_previous_in_use(self) -> bool:
        """Whether a vCPU still runs in the previous epoch; for the holder of the epoch lock.

        A step only while one does: the holder keeps others from being counted in.
        """
        previous = self.value - 1 & 1
        if self.refcount[previous]:
            self.sim.step(self, READ)
        return self.refcount[previous] != 0


class Tdcs:
    """TDCS: built by MNG.ADDCX page by page, filled by MNG.INIT.

    ``gpa_width`` is 48 or 52; ``levels`` the number of S-EPT levels (4 or 5).
    ``hp_lock_timeout`` is in TSC ticks. ``l2_septs`` has the tree of each L2 VM, VM 1 first.
    """

    __slots__ = (
        "attributes",
        "build_in_progress",
        "epoch_lock",
        "gpaw",
        "hp_lock_timeout",
        "l2_septs",
        "levels",
        "max_vcpus",
        "num_assoc_vcpus",
        "num_l2_vms",
        "num_vcpus",
        "op_state",
        "op_state_lock",
        "secure_ept_lock",
        "sept",
        "td_epoch",
        "virt_max_pa",
        "x2apic_ids",
    )

    STATE: ClassVar = Declared(
        shared="""
            attributes build_in_progress gpaw l2_septs levels max_vcpus num_assoc_vcpus num_l2_vms
            num_vcpus op_state sept virt_max_pa x2apic_ids
        """,
        parts="epoch_lock hp_lock_timeout op_state_lock secure_ept_lock td_epoch",
    )

    def __init__(self, sim: Simulator, tdr: int) -> None:
        self.op_state = OpState.UNINITIALIZED
        self.op_state_lock = NamedHpLock(sim, f"OP_STATE[{tdr:#x}]")
        self.secure_ept_lock = NamedHpLock(sim, f"SEPT_TREE[{tdr:#x}]")
        self.epoch_lock = SharexLock(sim, f"TD_EPOCH[{tdr:#x}]")
        self.td_epoch = TdEpoch(sim, tdr)
        self.hp_lock_timeout = Variable(sim, f"HP_LOCK_TIMEOUT[{tdr:#x}]", 0)
        self.sept: SecureEpt | None = None
        self.l2_septs: tuple[L2SecureEpt, ...] = ()
        self.attributes = 0
        self.levels = 0
        self.gpaw = False
        self.virt_max_pa = 0
        self.num_l2_vms = 0
        self.max_vcpus = 0
        self.num_vcpus = 0
        self.num_assoc_vcpus = 0
        self.x2apic_ids: dict[int, int] = {}
        self.build_in_progress = False

    @property
    def gpa_width(self) -> int:
        """Bits of a guest physical address, the SHARED bit included."""
        return 52 if self.gpaw else 48

    @property
    def debug(self) -> bool:
        """ATTRIBUTES.DEBUG: the host may look inside."""
        return bool(self.attributes & DEBUG)

    @property
    def pending_ve_disable(self) -> bool:
        """TD_CTLS.PENDING_VE_DISABLE: touching a pending page exits, rather than #VE."""
        return bool(self.attributes & SEPT_VE_DISABLE)


class Tdr(Page):
    """TDR: the root of a TD, in the page that names it."""

    __slots__ = (
        "chldcnt",
        "hkid",
        "lifecycle",
        "num_tdcx",
        "pkg_config_bitmap",
        "tdcs",
        "tdcx",
    )

    STATE: ClassVar = Declared(
        shared="hkid lifecycle num_tdcx pkg_config_bitmap tdcx", parts="chldcnt tdcs"
    )

    def __init__(self, sim: Simulator, hpa: int, hkid: int) -> None:
        super().__init__(hpa)
        self.hkid = hkid
        self.lifecycle = Lifecycle.HKID_ASSIGNED
        self.chldcnt = AtomicCount(sim, f"CHLDCNT[{hpa:#x}]")
        self.num_tdcx = 0
        self.tdcx: list[int] = []
        self.pkg_config_bitmap = 0
        self.tdcs = Tdcs(sim, hpa)


class TdcxPage(Page):
    """A page of TDCS or TDVPS; what the model needs of it stands in the TDR or TDVPR."""

    __slots__ = ()


class Tdvps(Page):
    """A vCPU's state, in its TDVPR page.

    ``state`` and ``assoc_lp`` are shared, as any processor may try to enter the vCPU; the
    rest belongs to the processor it is associated with. ``epoch`` is the TD epoch of its
    last entry. ``rip`` counts its instructions; ``faults`` and ``fault_gpas`` are the EPT
    violations without progress since, from the seventh on by address.
    ``hp_busy_since`` is the TSC when a host's priority was first in the way, or None.
    """

    __slots__ = (
        "assoc_lp",
        "epoch",
        "fault_gpas",
        "faults",
        "hp_busy_since",
        "last_exit",
        "last_exit_tsc",
        "management",
        "num_pages",
        "rip",
        "state",
        "vcpu_index",
    )

    STATE: ClassVar = Declared(
        shared="""
            assoc_lp epoch fault_gpas faults hp_busy_since last_exit last_exit_tsc num_pages rip
            state vcpu_index
        """,
        parts="management",
    )

    def __init__(self, sim: Simulator, hpa: int) -> None:
        super().__init__(hpa)
        self.management = NamedCell(sim, f"TDVPS[{hpa:#x}]")
        self.num_pages = 1
        self.state = VcpuState.UNINITIALIZED
        self.assoc_lp = NO_LP
        self.vcpu_index = 0
        self.epoch = 0
        self.last_exit = LastExit.ASYNC_FAULT
        self.last_exit_tsc = 0
        self.rip = 0
        self.faults = 0
        self.fault_gpas: list[int] = []
        self.hp_busy_since: int | None = None

    @property
    def initialized(self) -> bool:
        """VP.INIT has been done."""
        return self.state is not VcpuState.UNINITIALIZED

    def read_state(self) -> VcpuState:
        """Load VCPU_STATE, which a processor that runs the vCPU may be changing: one step."""
        self.management.sim.step(self.management, READ)
        return self.state

    def write_state(self, state: VcpuState) -> None:
        """Store VCPU_STATE: one step."""
        self.management.sim.step(self.management, WRITE)
        self.state = state

    def associate(self, lp_id: int) -> int:
        """Compare-exchange ASSOC_LPID from none to a processor; the value from before."""
        sim = self.management.sim
        sim.step(self.management, EVENT | RMW)
        before = self.assoc_lp
        if before == NO_LP:
            self.assoc_lp = lp_id
        if sim.log is not None:
            sim.log("cmpxchg", "", f"ASSOC_LPID[{self.hpa:#x}]", before == NO_LP)
        return before
