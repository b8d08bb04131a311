"""A TD's control structures: TDR, TDCS and TDVPS, as far as PAMT depends on them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from tdxfuzz.module.lock import AtomicCount, NamedHpLock, SharexLock
from tdxfuzz.module.memory import Page
from tdxfuzz.sim import Variable

if TYPE_CHECKING:
    from tdxfuzz.module.sept import SecureEpt
    from tdxfuzz.sim import Simulator

MIN_TDCS_PAGES = 6
MAX_TDCS_PAGES = 9
SEPT_ROOT_PAGE_INDEX = 3
MIN_TDVPS_PAGES = 6
MAX_TDVPS_PAGES = 15
MAX_L2_VMS = 3
NO_LP = 0xFFFF_FFFF


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


class Tdcs:
    """TDCS: built by MNG.ADDCX page by page, filled by MNG.INIT.

    ``gpa_width`` is 48 or 52; ``levels`` the number of S-EPT levels (4 or 5).
    """

    __slots__ = (
        "build_in_progress",
        "epoch_lock",
        "gpaw",
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

    def __init__(self, sim: Simulator, tdr: int) -> None:
        self.op_state = OpState.UNINITIALIZED
        self.op_state_lock = NamedHpLock(sim, f"OP_STATE[{tdr:#x}]")
        self.secure_ept_lock = NamedHpLock(sim, f"SEPT_TREE[{tdr:#x}]")
        self.epoch_lock = SharexLock(sim, f"TD_EPOCH[{tdr:#x}]")
        self.td_epoch = Variable(sim, f"EPOCH[{tdr:#x}]", 0)
        self.sept: SecureEpt | None = None
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
    """A vCPU's state, in its TDVPR page."""

    __slots__ = ("assoc_lp", "initialized", "num_pages", "vcpu_index")

    def __init__(self, hpa: int) -> None:
        super().__init__(hpa)
        self.num_pages = 1
        self.initialized = False
        self.assoc_lp = NO_LP
        self.vcpu_index = 0
