"""The call that brings a TD further: without such calls a drawn sequence stays at its beginning."""

from __future__ import annotations

from random import Random

from attrs import evolve

from tdxfuzz.host.layout import PARAMS_HPA
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.td import (
    MAX_TDCS_PAGES,
    MIN_TDCS_PAGES,
    MIN_TDVPS_PAGES,
    Lifecycle,
    OpState,
    Tdr,
    VcpuState,
)
from tdxfuzz.targets.library.boot import seamcall
from tdxfuzz.targets.library.pools import Pools
from tdxfuzz.targets.recording import RecordedCall

_IN_A_TD = (
    ("MEM.SEPT.ADD", 10),
    ("MEM.PAGE.AUG", 10),
    ("MEM.PAGE.ADD", 4),
    ("MEM.RANGE.BLOCK", 6),
    ("MEM.TRACK", 4),
    ("MEM.PAGE.REMOVE", 5),
    ("MEM.PAGE.DEMOTE", 3),
    ("MEM.PAGE.PROMOTE", 3),
    ("MEM.PAGE.RELOCATE", 1),
    ("MEM.SEPT.REMOVE", 1),
    ("MEM.RANGE.UNBLOCK", 1),
    ("MR.FINALIZE", 1),
    ("VP.CREATE", 3),
    ("MNG.VPFLUSHDONE", 1),
)


def next_call(
    rng: Random, module: TdxModule, pools: Pools, lps: int, runs: bool = False
) -> RecordedCall:
    """A call that most likely succeeds, and leads on from where the module stands; if it ``runs``,
    straight to a vCPU that is entered again and again.
    """
    if not pools.kinds["new page"] or rng.random() < 0.05:
        pages = [pools.any_of("PAMT page") for _ in range(2)]
        return seamcall("PHYMEM.PAMT.ADD", rcx=pools.any_of("range"), rdx=pages[0], r8=pages[1])
    new = pools.any_of("new page")
    tdrs = pools.kinds["tdr"]
    if not tdrs:
        return seamcall("MNG.CREATE", rcx=new, rdx=pools.any_of("hkid"))
    tdr = module.tdr_at(tdrs[0])
    match tdr.lifecycle:
        case Lifecycle.HKID_ASSIGNED:
            return seamcall("MNG.KEY.CONFIG", rng.randrange(lps), rcx=tdr.hpa)
        case Lifecycle.KEYS_CONFIGURED if runs:
            return _to_a_guest(rng, module, pools, tdr, new)
        case Lifecycle.KEYS_CONFIGURED:
            return _of_a_td(rng, pools, tdr, new) or _of_a_vcpu(rng, module, pools, new)
    return _on_with_teardown(rng, module, pools, lps, tdr)


def _on_with_teardown(
    rng: Random, module: TdxModule, pools: Pools, lps: int, tdr: Tdr
) -> RecordedCall:
    """The next call of a TD whose keys are on their way out, or gone."""
    match tdr.lifecycle:
        case Lifecycle.BLOCKED:
            if module.keys.entries[tdr.hkid].wbinvd_bitmap:
                is_begun = any(each.intr_point for each in module.keys.writeback)
                resume = int(rng.random() < (0.7 if is_begun else 0.2))
                write_back = seamcall("PHYMEM.CACHE.WB", rng.randrange(lps), rcx=resume)
                return evolve(write_back, interrupted=rng.random() < 0.4)
            return seamcall("MNG.KEY.FREEID", rcx=tdr.hpa)
    # In teardown: the TDR goes last.
    others = pools.owned.get(tdr.hpa, [])
    page = rng.choice(others) if others and tdr.chldcnt.value else tdr.hpa
    return seamcall("PHYMEM.PAGE.RECLAIM", rcx=page)


def fill_call(rng: Random, module: TdxModule, pools: Pools, lps: int) -> RecordedCall:
    """A call that gives one more page to a TD, until there is no HKID left: so a range fills. Now
    and then a TD goes, and its pages are used again.
    """
    if not pools.kinds["new page"]:
        return next_call(rng, module, pools, lps)
    new = pools.any_of("new page")
    used = set()
    tdrs = [module.tdr_at(hpa) for hpa in pools.kinds["tdr"] if module.pamt.type_of(hpa) == PT.TDR]
    for tdr in tdrs:
        used.add(tdr.hkid)
        if tdr.lifecycle in (Lifecycle.BLOCKED, Lifecycle.TEARDOWN) and rng.random() < 0.5:
            return _on_with_teardown(rng, module, pools, lps, tdr)
    if tdrs and rng.random() < 0.02:
        return seamcall("MNG.VPFLUSHDONE", rcx=rng.choice(tdrs).hpa)
    for tdr in tdrs:
        hpa = tdr.hpa
        if tdr.lifecycle is Lifecycle.HKID_ASSIGNED:
            return seamcall("MNG.KEY.CONFIG", rng.randrange(lps), rcx=hpa)
        if tdr.lifecycle is Lifecycle.KEYS_CONFIGURED and tdr.num_tdcx < MAX_TDCS_PAGES:
            return seamcall("MNG.ADDCX", rcx=new, rdx=hpa)
    free = [hkid for hkid in pools.hkids if hkid not in used]
    if not free:
        return next_call(rng, module, pools, lps)
    return seamcall("MNG.CREATE", rcx=new, rdx=rng.choice(free))


def _of_a_td(rng: Random, pools: Pools, tdr: Tdr, new: int) -> RecordedCall | None:
    """The next call of a TD that has its keys; None for one of a vCPU."""
    if tdr.num_tdcx < MIN_TDCS_PAGES:
        return seamcall("MNG.ADDCX", rcx=new, rdx=tdr.hpa)
    if tdr.tdcs.op_state is OpState.UNINITIALIZED:
        return seamcall("MNG.INIT", rcx=tdr.hpa, rdx=PARAMS_HPA)
    if pools.kinds["tdvpr"] and rng.random() < 0.3:
        return None
    names, weights = zip(*_IN_A_TD, strict=True)
    name = rng.choices(names, weights)[0]
    match name:
        case "MR.FINALIZE" | "MNG.VPFLUSHDONE" | "MEM.TRACK":
            return seamcall(name, rcx=tdr.hpa)
        case "VP.CREATE":
            return seamcall(name, rcx=new, rdx=tdr.hpa)
        case "MEM.SEPT.ADD":
            assert tdr.tdcs.sept is not None
            there = {level for gpa, level, _ in tdr.tdcs.sept.entries() if gpa == 0}
            level = max({3, 2, 1} - there, default=1)
            return seamcall(name, rcx=level, rdx=tdr.hpa, r8=new)
        case "MEM.PAGE.DEMOTE":
            pages = {"r12": pools.any_of("PAMT page"), "r13": pools.any_of("PAMT page")}
            return seamcall(name, rcx=1, rdx=tdr.hpa, r8=new, **pages)
        case "MEM.PAGE.AUG" if rng.random() < 0.3:
            return seamcall(name, rcx=1, rdx=tdr.hpa, r8=pools.any_of("range") & ~1)
    gpa = rng.choice((0, 0, 1 << 12, 1)) if name != "MEM.PAGE.PROMOTE" else 1
    return seamcall(name, rcx=gpa, rdx=tdr.hpa, r8=new)


def _to_a_guest(rng: Random, module: TdxModule, pools: Pools, tdr: Tdr, new: int) -> RecordedCall:
    """The next call on the way to a TD that runs, with memory at its GPA 0; then what it needs."""
    if tdr.num_tdcx < MIN_TDCS_PAGES or tdr.tdcs.op_state is OpState.UNINITIALIZED:
        first = _of_a_td(rng, pools, tdr, new)
        assert first is not None
        return first
    assert tdr.tdcs.sept is not None
    there = {level for gpa, level, _ in tdr.tdcs.sept.entries() if gpa == 0}
    missing = {3, 2, 1} - there
    if missing and 0 not in there:
        return seamcall("MEM.SEPT.ADD", rcx=max(missing), rdx=tdr.hpa, r8=new)
    tdvprs = pools.kinds["tdvpr"]
    if not tdvprs:
        return seamcall("VP.CREATE", rcx=new, rdx=tdr.hpa)
    vcpu = module.tdvps_at(tdvprs[0])
    if vcpu.num_pages < MIN_TDVPS_PAGES:
        return seamcall("VP.ADDCX", rcx=new, rdx=tdvprs[0])
    if vcpu.state is VcpuState.UNINITIALIZED:
        return seamcall("VP.INIT", rcx=tdvprs[0])
    if tdr.tdcs.op_state is not OpState.RUNNABLE:
        return seamcall("MR.FINALIZE", rcx=tdr.hpa)
    if rng.random() < 0.6:
        return seamcall("VP.ENTER", rcx=tdvprs[0])
    gpa = rng.choice((0, 0, 1 << 12))
    names = ("MEM.PAGE.AUG", "MEM.PAGE.AUG", "MEM.RANGE.BLOCK", "MEM.TRACK", "MEM.PAGE.REMOVE")
    name = rng.choice(names)
    if name == "MEM.TRACK":
        return seamcall(name, rcx=tdr.hpa)
    return seamcall(name, rcx=gpa, rdx=tdr.hpa, r8=new)


def _of_a_vcpu(rng: Random, module: TdxModule, pools: Pools, new: int) -> RecordedCall:
    tdvpr = pools.any_of("tdvpr")
    vcpu = module.tdvps_at(tdvpr)
    if vcpu.num_pages < MIN_TDVPS_PAGES:
        return seamcall("VP.ADDCX", rcx=new, rdx=tdvpr)
    if vcpu.state is VcpuState.UNINITIALIZED:
        return seamcall("VP.INIT", rcx=tdvpr)
    return seamcall(rng.choice(("VP.FLUSH", "VP.ENTER")), rcx=tdvpr)
