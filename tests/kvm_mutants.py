"""KVMs that are wrong in one place each: what a hunt is measured with.

Two families are made for every SEAMCALL: it is left out, and it is taken for done although it was
BUSY. The others are wrong in a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tdxfuzz.abi import Registers, Status
from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.host.kernel.errno import EBUSY, EIO
from tdxfuzz.host.kernel.page import GFP_KERNEL
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm import seamcalls as leaf
from tdxfuzz.host.kvm.seamcalls import Answer, Make, Seamcalls
from tdxfuzz.host.kvm.vm import Spte, Vcpu, Vm
from tdxfuzz.module.codes import REMOVAL_HINT

SUCCESS = Status(0)

SEAMCALLS = tuple(
    name for name, thing in vars(Seamcalls).items() if callable(thing) and not name.startswith("_")
)
"""The methods of Kvm that make one SEAMCALL each."""


def skips(name: str) -> type[Kvm]:
    """KVM that takes a SEAMCALL for done without making it."""

    def skipped(self: Kvm, *args: object, **named: object) -> Answer:
        return SUCCESS, Registers()

    return _mutant(f"No_{name}", name, skipped)


def takes_busy_for_done(name: str) -> type[Kvm]:
    """KVM that makes a SEAMCALL, and takes BUSY for an answer."""
    original: Callable[..., Answer] = getattr(Kvm, name)

    def make(self: Kvm, *args: object, **named: object) -> Answer:
        status, regs = original(self, *args, **named)
        return (SUCCESS, regs) if status.busy else (status, regs)

    return _mutant(f"Busy_{name}", name, make)


def _mutant(title: str, name: str, method: object) -> type[Kvm]:
    return type(title, (Kvm,), {name: method, "__module__": __name__})


# Kicks and the wait flag.


class NoKick(Kvm):
    """The IPI is forgotten."""

    def kick_vcpus(self, vm: Vm) -> None:
        pass


class KicksTheFirstCpuOnly(Kvm):
    """The IPI goes to CPU 0 alone."""

    def kick_vcpus(self, vm: Vm) -> None:
        host = self.host
        mode = host.guests[0]
        tdvprs = [vcpu.tdvpr for vcpu in vm.vcpus if vcpu.tdvpr_page is not None]
        if mode is not host.guests[host.sim.current.on]:
            mode.kick(tdvprs)


class IgnoresFlag(Kvm):
    """A vCPU is entered whether or not a path keeps vCPUs out."""

    def vcpu_enter_guest(self, vm: Vm, vcpu: Vcpu) -> Answer | None:
        host = self.host
        mode = host.guests[host.sim.current.on]
        mode.enter(vcpu.tdvpr)
        answer = self.vp_enter(vcpu)
        vcpu.cpu = host.sim.current.on
        mode.leave()
        return None if answer[0].busy else answer


class LooksAtFlagTooEarly(Kvm):
    """The wait flag is read before the vCPU is in guest mode, so a kick may miss it."""

    def vcpu_enter_guest(self, vm: Vm, vcpu: Vcpu) -> Answer | None:
        if vm.wait_for_sept_zap.read():
            return None
        host = self.host
        mode = host.guests[host.sim.current.on]
        mode.enter(vcpu.tdvpr)
        answer = self.vp_enter(vcpu)
        vcpu.cpu = host.sim.current.on
        mode.leave()
        return None if answer[0].busy else answer


class LetsVcpusBackIn(Kvm):
    """The wait flag is forgotten: a kicked vCPU may come back before the call is repeated."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        self.kick_vcpus(vm)
        yield


class RaisesFlagTooLate(Kvm):
    """The wait flag is set once the vCPUs are out, and one may be back by then."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        self.kick_vcpus(vm)
        vm.wait_for_sept_zap.write(True)
        yield
        vm.wait_for_sept_zap.write(False)


class ClearsFlagTooEarly(Kvm):
    """The wait flag is cleared before the second call."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        vm.wait_for_sept_zap.write(True)
        self.kick_vcpus(vm)
        vm.wait_for_sept_zap.write(False)
        yield


class NeverLetsVcpusBackIn(Kvm):
    """The wait flag is set and stays so."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        vm.wait_for_sept_zap.write(True)
        self.kick_vcpus(vm)
        yield


class KicksWithoutSecondCall(Kvm):
    """BUSY is answered by a kick, and taken for done then."""

    def do_no_vcpus(self, vm: Vm, make: Make) -> Answer:
        status, regs = self.call(make)
        if status.busy:
            with self.no_vcpus(vm):
                return SUCCESS, regs
        return status, regs


class SecondCallWithoutKick(Kvm):
    """BUSY is answered by a second call, and nobody is kicked."""

    def do_no_vcpus(self, vm: Vm, make: Make) -> Answer:
        status, regs = self.call(make)
        return self.call(make) if status.busy else (status, regs)


class BusyIsDone(Kvm):
    """A call that was BUSY is taken for done, in every path that cannot fail."""

    def do_no_vcpus(self, vm: Vm, make: Make) -> Answer:
        status, regs = make()
        return (SUCCESS, regs) if status.busy else (status, regs)


class BusyIsABug(Kvm):
    """BUSY is no reason for a second call."""

    def do_no_vcpus(self, vm: Vm, make: Make) -> Answer:
        return make()


# The order of a zap.


class KicksBeforeTrack(Kvm):
    """The kick of ``tdx_track`` comes first: a vCPU may be back before TRACK."""

    def block_and_track(self, vm: Vm, gpa: int, level: int) -> bool:
        status, _ = self.do_no_vcpus(vm, partial(self.range_block, vm, gpa, level))
        if self.bug_on(leaf.RANGE_BLOCK, status):
            return True
        self.kick_vcpus(vm)
        status, _ = self.do_no_vcpus(vm, partial(self.track, vm))
        return self.bug_on(leaf.TRACK, status)


class NoKickAfterTrack(Kvm):
    """TRACK alone: a vCPU that is in the guest keeps its old translations."""

    def block_and_track(self, vm: Vm, gpa: int, level: int) -> bool:
        status, _ = self.do_no_vcpus(vm, partial(self.range_block, vm, gpa, level))
        if self.bug_on(leaf.RANGE_BLOCK, status):
            return True
        status, _ = self.do_no_vcpus(vm, partial(self.track, vm))
        return self.bug_on(leaf.TRACK, status)


class TracksBeforeBlock(Kvm):
    """TRACK first, then BLOCK."""

    def block_and_track(self, vm: Vm, gpa: int, level: int) -> bool:
        status, _ = self.do_no_vcpus(vm, partial(self.track, vm))
        if self.bug_on(leaf.TRACK, status):
            return True
        status, _ = self.do_no_vcpus(vm, partial(self.range_block, vm, gpa, level))
        self.kick_vcpus(vm)
        return self.bug_on(leaf.RANGE_BLOCK, status)


class _Removes(Kvm):
    """A zap whose last steps are taken in an order of its own."""

    STEPS = "remove wbinvd scrub put"

    def remove_page(self, vm: Vm, gpa: int, spte: Spte) -> None:
        pfn, hint = spte.pfn, False
        spte.write(Spte.NOT_PRESENT)
        if self.block_and_track(vm, gpa, LEVEL_4K):
            return
        for step in self.STEPS.split():
            if step == "remove":
                remove = partial(self.page_remove, vm, gpa, LEVEL_4K)
                status, regs = self.do_no_vcpus(vm, remove)
                if self.bug_on(leaf.PAGE_REMOVE, status):
                    return
                hint = bool(regs.rcx & REMOVAL_HINT)
            elif step == "wbinvd":
                status, _ = self.do_no_vcpus(vm, partial(self.page_wbinvd, vm, pfn))
                if self.bug_on(leaf.PAGE_WBINVD, status):
                    return
            elif step == "scrub":
                self.host.pages.scrub(pfn)
            else:
                self.host.put(pfn, "guest page", hint)


class WritesBackBeforeRemove(_Removes):
    STEPS = "wbinvd remove scrub put"


class ScrubsBeforeWriteBack(_Removes):
    STEPS = "remove scrub wbinvd put"


class PutsBeforeRemove(_Removes):
    STEPS = "put remove wbinvd scrub"


class PutsBeforeWriteBack(_Removes):
    STEPS = "remove put wbinvd scrub"


class NeverScrubs(_Removes):
    STEPS = "remove wbinvd put"


class NeverPuts(_Removes):
    STEPS = "remove wbinvd scrub"


class PutsTwice(_Removes):
    STEPS = "remove wbinvd scrub put put"


class WritesBackWithWrongKey(Kvm):
    """PAGE.WBINVD under the host's key: what the caches have under the TD's stays there."""

    def page_wbinvd(self, vm: Vm, pfn: int) -> Answer:
        return self._wbinvd(pfn, 0)


class WritesBackTdrWithWrongKey(Kvm):
    """The TDR is written back under the host's key, not under the module's."""

    def page_wbinvd_tdr(self, pfn: int) -> Answer:
        return self._wbinvd(pfn, 0)


# Faults.


class MapsBeforeGet(Kvm):
    """AUG first, and the pair is got then."""

    def mem_page_aug(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        status, _ = self.page_aug(vm, gpa, LEVEL_4K, pfn)
        if self.bug_on(leaf.PAGE_AUG, status):
            return -EIO
        return self.host.get(pfn, "guest page", vcpu.pamt_cache)


class MapsWithoutGet(Kvm):
    """No pair is got for a guest page."""

    def mem_page_aug(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        status, _ = self.page_aug(vm, gpa, LEVEL_4K, pfn)
        return -EIO if self.bug_on(leaf.PAGE_AUG, status) else 0


class KeepsPairOfBusyAug(Kvm):
    """The put that undoes a get is forgotten where AUG is BUSY or fails."""

    def mem_page_aug(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        status, result = SUCCESS, self.host.get(pfn, "guest page", vcpu.pamt_cache)
        if not result:
            status, _ = self.page_aug(vm, gpa, LEVEL_4K, pfn)
        if status.busy:
            return -EBUSY
        return -EIO if self.bug_on(leaf.PAGE_AUG, status) else result


class BusyAugIsABug(Kvm):
    """BUSY of AUG is taken for an error, and not tried again."""

    def mem_page_aug(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        result = self.host.get(pfn, "guest page", vcpu.pamt_cache)
        if result:
            return result
        status, _ = self.page_aug(vm, gpa, LEVEL_4K, pfn)
        if self.bug_on(leaf.PAGE_AUG, status):
            self.host.put(pfn, "guest page")
            return -EIO
        return 0


class LeavesSpteFrozen(Kvm):
    """An SPTE stays frozen where AUG was BUSY."""

    def map_page(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
        value = spte.read()
        if value == Spte.PRESENT:
            return 0
        if value == Spte.FROZEN or not spte.try_freeze():
            return -EBUSY
        result = self.mem_page_aug(vm, vcpu, gpa, pfn)
        if not result:
            spte.write(Spte.PRESENT, pfn)
        return result


class MapsWithoutFreezing(Kvm):
    """The SPTE is not frozen while AUG is under way: two vCPUs may map one page."""

    def map_page(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
        if spte.read() == Spte.PRESENT:
            return 0
        result = self.mem_page_aug(vm, vcpu, gpa, pfn)
        if not result:
            spte.write(Spte.PRESENT, pfn)
        return result


class ZapsUnderReadLock(Kvm):
    """A zap shares the MMU lock with faults."""

    def zap(self, vm: Vm, slot: int) -> int:
        gpa = self.host.layout.gpa(slot)
        with vm.mmu_lock.read():
            spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
            if spte.read() == Spte.PRESENT:
                self.remove_page(vm, gpa, spte)
        return 0


class ForgetsTopup(Kvm):
    """The caches are not filled before the MMU lock."""

    def topup(self, vcpu: Vcpu) -> int:
        return 0


class TopsUpTooLittle(Kvm):
    """One pair fewer than a fault may take."""

    def topup(self, vcpu: Vcpu) -> int:
        vcpu.pamt_cache.has_head = True
        pages = (self.host.layer.pamt_cache_pages - 4) * self.host.pair_pages // 2
        return vcpu.sept_cache.topup(3) or vcpu.pamt_cache.topup(pages) or self.host.layer.topup()


class LinksWithoutGet(Kvm):
    """No pair is got for an S-EPT page."""

    def link_private_spt(self, vm: Vm, vcpu: Vcpu, gpa: int, level: int, pfn: int) -> int:
        status, _ = self.sept_add(vm, gpa, level, pfn)
        return -EIO if self.bug_on(leaf.SEPT_ADD, status) else 0


# TDs, vCPUs and control pages.


class NeverFlushes(Kvm):
    """A vCPU goes to another CPU without a flush on the one before."""

    def vcpu_load(self, vcpu: Vcpu, cpu: int) -> None:
        vcpu.cpu = cpu


class FlushesOnWrongCpu(Kvm):
    """VP.FLUSH is made on the new CPU."""

    def vp_flush(self, vcpu: Vcpu) -> Answer:
        return self.host.seamcall(leaf.VP_FLUSH, rcx=vcpu.tdvpr)


class FlushesNobodyBeforeDestroy(Kvm):
    """vCPUs are still associated when the HKID is to go."""

    def flush_vp_on_cpu(self, vcpu: Vcpu) -> None:
        if vcpu.tdcx_pages and self.host.sim.current.on == vcpu.cpu:
            return
        super().flush_vp_on_cpu(vcpu)


class FreesControlPageBeforePut(Kvm):
    """A control page is given back before its put."""

    def free_control_page(self, pfn: int, kind: str, hint: bool = False) -> None:
        self.host.pages.free_page(pfn)
        self.host.put(pfn, kind, hint)


class FreesControlPageWithoutPut(Kvm):
    def free_control_page(self, pfn: int, kind: str, hint: bool = False) -> None:
        self.host.pages.free_page(pfn)


class NeverScrubsControlPages(Kvm):
    """A control page is freed as the module left it."""

    def reclaim_control_page(self, pfn: int, kind: str) -> None:
        reclaimed, hint = self.reclaim_page(pfn)
        if reclaimed:
            self.free_control_page(pfn, kind, hint)


class ForgetsTheTdcs(Kvm):
    """Only the TDR is reclaimed."""

    def reclaim_td_control_pages(self, vm: Vm) -> None:
        vm.tdcs_pages = []
        super().reclaim_td_control_pages(vm)


class ForgetsTheVcpus(Kvm):
    """The pages of vCPUs are not reclaimed."""

    def vcpu_free(self, vcpu: Vcpu) -> None:
        vcpu.tdcx_pages, vcpu.tdvpr_page = [], None


class ForgetsSeptPages(Kvm):
    """The S-EPT pages are not reclaimed."""

    def free_sept_pages(self, vm: Vm) -> None:
        pass


class ForgetsGuestPages(Kvm):
    """A TD is destroyed with pages mapped."""

    def zap_all(self, vm: Vm) -> None:
        pass


class AllocatesControlPageWithoutGet(Kvm):
    def alloc_control_page(self, kind: str) -> int | None:
        return self.host.pages.alloc_page(GFP_KERNEL, kind)


PATHS: tuple[type[Kvm], ...] = tuple(
    thing
    for name, thing in list(globals().items())
    if isinstance(thing, type) and issubclass(thing, Kvm) and thing is not Kvm and name[0] != "_"
)
"""Those that are wrong in a path."""
