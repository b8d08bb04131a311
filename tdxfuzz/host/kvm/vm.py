"""A VM and its vCPUs, as far as KVM's TDX code keeps state of them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.host.kernel.lock import Mutex, Rwlock
from tdxfuzz.host.kernel.page import PageCache
from tdxfuzz.sim import READ, RMW, WRITE, Declared, NamedCell, Variable

if TYPE_CHECKING:
    from tdxfuzz.host.tdx_core import TdxCore
    from tdxfuzz.sim import Simulator

TDCS_PAGES = 6

NOTHING = -1
"""No slot."""


class VmState(Enum):
    """Life of a VM slot: empty, then a TD, then on its way out, then empty again."""

    EMPTY = "empty"
    INITIALIZED = "initialized"
    DYING = "dying"


class Spte(NamedCell):
    """A mirror SPTE: not present, frozen while its S-EPT entry is changed, or present.

    ``pfn`` is the page it maps: a guest page at level 0 or if it is huge, else an S-EPT page.
    """

    __slots__ = ("pfn", "value")

    STATE: ClassVar = Declared(shared="pfn value")

    NOT_PRESENT: ClassVar[int] = 0
    FROZEN: ClassVar[int] = 1
    PRESENT: ClassVar[int] = 2
    HUGE: ClassVar[int] = 3

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.value = Spte.NOT_PRESENT
        self.pfn = 0

    def read(self) -> int:
        """``kvm_tdp_mmu_read_spte``."""
        self.sim.step(self, READ)
        return self.value

    def try_freeze(self) -> bool:
        """``try_cmpxchg64`` from not present to frozen."""
        self.sim.step(self, RMW)
        if self.value != Spte.NOT_PRESENT:
            return False
        self.value = Spte.FROZEN
        return True

    def write(self, value: int, pfn: int = 0) -> None:
        """``__kvm_tdp_mmu_write_spte``."""
        self.sim.step(self, WRITE)
        self.value = value
        self.pfn = pfn


class Vcpu:
    """A vCPU: the caches that are topped up before the MMU lock and drawn under it, and
    its control pages once ``vcpu`` made it one of the TD.

    ``cpu`` is the CPU that the module has associated it with. While it runs, ``script`` is what
    its guest does, ``at`` how much of that is done, and ``asks`` a slot that the guest wants
    converted, or -1.
    """

    __slots__ = (
        "asks",
        "at",
        "cpu",
        "id",
        "mutex",
        "pamt_cache",
        "script",
        "sept_cache",
        "tdcx_pages",
        "tdvpr_page",
    )

    STATE: ClassVar = Declared(
        shared="asks at cpu script tdcx_pages tdvpr_page",
        parts="pamt_cache sept_cache",
        locks="mutex",
        fixed="id",
    )

    def __init__(self, host: TdxCore, vm_id: int, vcpu_id: int) -> None:
        self.id = vcpu_id
        self.mutex = Mutex(host.sim, f"vm{vm_id}.vcpu{vcpu_id}.mutex", host.held_locks)
        self.cpu: int | None = None
        self.script = 0
        self.at = 0
        self.asks = NOTHING
        self.tdvpr_page: int | None = None
        self.tdcx_pages: list[int] = []
        self.pamt_cache = PageCache(host.pages, "PAMT page", not host.layer.cache_made_by_vcpu_init)
        self.sept_cache = PageCache(host.pages, "S-EPT page")

    @property
    def tdvpr(self) -> int:
        """HPA of the TDVPR."""
        assert self.tdvpr_page is not None
        return self.tdvpr_page << 12


class Vm:
    """``struct kvm_tdx``. Exists, empty, from the start; ``create`` makes it a TD.

    ``users`` counts who keeps the VM alive: itself while it is a TD, and each operation
    on it. Whoever drops it to zero destroys the TD (``kvm_put_kvm``). Only then can the
    slot serve a new VM: ``state`` is written by whoever creates or destroys.
    ``shared_slots`` were converted to shared, in ``small_areas`` the guest accepts 4KB pages;
    both change under the MMU lock. The split caches serve designs that have them per VM.
    ``finalized``: its vCPUs may be entered. ``terminated``: its HKID is gone, or will be, though it
    has pages; it changes under all locks. While ``wait_for_sept_zap`` is set they are not.
    """

    __slots__ = (
        "finalized",
        "hkid",
        "id",
        "kvm_lock",
        "mmu_lock",
        "shared_slots",
        "slots_lock",
        "small_areas",
        "split_lock",
        "split_pamt_cache",
        "split_sept_cache",
        "sptes",
        "state",
        "tdcs_pages",
        "tdr_page",
        "terminated",
        "users",
        "vcpus",
        "wait_for_sept_zap",
    )

    STATE: ClassVar = Declared(
        shared="finalized hkid shared_slots small_areas tdcs_pages tdr_page terminated",
        parts="split_pamt_cache split_sept_cache sptes state users vcpus wait_for_sept_zap",
        locks="kvm_lock mmu_lock slots_lock split_lock",
        fixed="id",
    )

    def __init__(self, host: TdxCore, vm_id: int) -> None:
        sim = host.sim
        self.id = vm_id
        self.state = Variable(sim, f"vm{vm_id}.state", VmState.EMPTY)
        self.finalized = self.terminated = False
        self.wait_for_sept_zap = Variable(sim, f"vm{vm_id}.wait_for_sept_zap", False)
        self.hkid = 0
        self.tdr_page: int | None = None
        self.tdcs_pages: list[int | None] = []
        self.sptes: dict[tuple[int, int], Spte] = {}
        self.shared_slots: set[int] = set()
        self.small_areas: set[int] = set()
        self.split_lock = Mutex(sim, f"vm{vm_id}.split_lock", host.held_locks)
        self.split_pamt_cache = PageCache(host.pages, "PAMT page")
        self.split_sept_cache = PageCache(host.pages, "S-EPT page")
        self.users = AtomicT(sim, f"vm{vm_id}.users")
        self.kvm_lock = Mutex(sim, f"vm{vm_id}.lock", host.held_locks)
        self.slots_lock = Mutex(sim, f"vm{vm_id}.slots_lock", host.held_locks)
        self.mmu_lock = Rwlock(sim, f"vm{vm_id}.mmu_lock", host.held_locks)
        self.vcpus = [Vcpu(host, vm_id, i) for i in range(host.world.cpus)]

    @property
    def has_vcpus(self) -> bool:
        """Whether it has any. Changes under the state locks."""
        return any(vcpu.tdvpr_page is not None for vcpu in self.vcpus)

    def spte(self, sim: Simulator, level: int, gpa: int) -> Spte:
        """The mirror SPTE for ``gpa`` at S-EPT level ``level`` (0 maps a 4KB page)."""
        key = level, gpa >> 12 + 9 * level
        spte = self.sptes.get(key)
        if spte is None:
            spte = self.sptes[key] = Spte(sim, f"vm{self.id}.spte[{level},{key[1]:#x}]")
        return spte

    @property
    def tdr(self) -> int:
        """HPA of the TDR."""
        assert self.tdr_page is not None
        return self.tdr_page << 12
