"""Worlds to begin with, and the SEAMCALLs that bring a module up in them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

from attrs import evolve, frozen

from tdxfuzz.abi import BY_NAME, KeyIdBits
from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.host.layout import PARAMS_HPA
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.td_params import DEFAULT as TD_PARAMS
from tdxfuzz.module.tdmr_config import PAMT_ENTRY_SIZE
from tdxfuzz.targets.recording import RecordedCall
from tdxfuzz.targets.world import AtReset, Piece

TDMR_BASE = 1 << 31
CONFIG_HPA = 1 << 25
"""The list of TDMR_INFOs, and behind it these. TD_PARAMS are where the host has them."""

_PAMT_HPA = 1 << 29
_PAMT_STEP = 16 << 20
_INFO_SIZE = 512
_PLATFORMS = (
    Platform(),
    Platform(max_pa=52, key_bits=KeyIdBits(46, 6), private_hkid_min=32, private_hkid_max=63),
    Platform(max_pa=46, key_bits=KeyIdBits(42, 4), private_hkid_min=4, private_hkid_max=15),
)
_PACKAGES = ((0,), (0, 0), (0, 0, 0, 0), (0, 1), (0, 1, 0, 1))
MOST_INITS = 768
"""TDH.SYS.TDMR.INITs of a TDMR: enough for 3GB in steps of 4MB."""

BOOT_LEAVES = ("SYS.INIT", "SYS.LP.INIT", "SYS.CONFIG", "SYS.KEY.CONFIG", "SYS.TDMR.INIT")


@frozen
class TdmrPlan:
    """A TDMR in a world: where, how large, and what of it is reserved (by offset)."""

    base: int
    size: int
    reserved: tuple[tuple[int, int], ...] = ()


@frozen
class BootPlan:
    """A world, and how a module is brought up in it."""

    world: AtReset
    tdmrs: tuple[TdmrPlan, ...]
    dynamic: bool
    hkid: int


def seamcall(name: str, lp: int = 0, version: int = 0, **inputs: int) -> RecordedCall:
    """A call by its leaf's name without ``TDH.``."""
    leaf = BY_NAME[f"TDH.{name}"]
    return RecordedCall(leaf.number, leaf.identifier, version, inputs, False, None, {}, lp)


def draw_plan(rng: Random, cpus: int) -> BootPlan:
    """A machine with ``cpus`` LPs at least."""
    packages = rng.choice([each for each in _PACKAGES if len(each) >= cpus])
    platform = evolve(
        rng.choice(_PLATFORMS), packages=max(packages) + 1, cache_sub_blocks=rng.choice((1, 2, 4))
    )
    reserved = rng.choice(((), ((4 * SIZE_2M, SIZE_2M),), ((0, SIZE_4K), (SIZE_2M, 3 * SIZE_4K))))
    tdmrs = [TdmrPlan(TDMR_BASE, SIZE_1G, reserved)]
    if rng.random() < 0.15:
        tdmrs.append(TdmrPlan(TDMR_BASE + 2 * SIZE_1G, SIZE_1G))
    dynamic = rng.random() < 0.93
    memory = (*config_pages(tdmrs), (PARAMS_HPA, TD_PARAMS.to_bytes()))
    hkid = platform.private_hkid_min + rng.choice((0, 0, 1))
    return BootPlan(AtReset(platform, packages, memory), tuple(tdmrs), dynamic, hkid)


def plain_plan(platform: Platform, lps: int, base: int) -> BootPlan:
    """One package, and one gigabyte with dynamic PAMT."""
    tdmr = TdmrPlan(base, SIZE_1G)
    memory = (*config_pages([tdmr]), (PARAMS_HPA, TD_PARAMS.to_bytes()))
    world = AtReset(platform, (0,) * lps, memory)
    return BootPlan(world, (tdmr,), dynamic=True, hkid=platform.global_hkid)


def config_pages(tdmrs: list[TdmrPlan]) -> tuple[Piece, ...]:
    """What SYS.CONFIG reads: the list, then a TDMR_INFO in each 512 bytes from the next page on."""
    infos = CONFIG_HPA + SIZE_4K
    pieces = [(CONFIG_HPA, struct.pack(f"<{len(tdmrs)}Q", *_places(infos, len(tdmrs))))]
    for i, tdmr in enumerate(tdmrs):
        numbers = [tdmr.base, tdmr.size]
        at = _PAMT_HPA + i * _PAMT_STEP
        for size in (SIZE_4K, SIZE_2M // 4, 4 * SIZE_2M):  # enough at 1GB, 2MB, and 4KB
            numbers += [at, size * (tdmr.size // SIZE_1G)]
            at += numbers[-1]
        for area in tdmr.reserved:
            numbers += area
        pieces.append((infos + i * _INFO_SIZE, struct.pack(f"<{len(numbers)}Q", *numbers)))
    assert SIZE_1G // SIZE_4K * PAMT_ENTRY_SIZE <= 4 * SIZE_2M
    return tuple(pieces)


def _places(first: int, number: int) -> list[int]:
    return [first + i * _INFO_SIZE for i in range(number)]


def boot_calls(plan: BootPlan, version: int = 0) -> Iterator[RecordedCall]:
    """The calls that a host makes: all succeed."""
    yield seamcall("SYS.INIT", version=version, r8=0xFFFFFFFFFFC0 if version else 0)
    for lp in range(len(plan.world.packages)):
        yield seamcall("SYS.LP.INIT", lp)
    yield seamcall(
        "SYS.CONFIG", rcx=CONFIG_HPA, rdx=len(plan.tdmrs), r8=plan.hkid | plan.dynamic << 16
    )
    for package in sorted(set(plan.world.packages)):
        yield seamcall("SYS.KEY.CONFIG", plan.world.packages.index(package))
    step = 4 * SIZE_2M * (2 if plan.dynamic else 0) or 2 * SIZE_2M
    for i, tdmr in enumerate(plan.tdmrs):
        for n in range(min(tdmr.size // step, MOST_INITS)):
            yield seamcall("SYS.TDMR.INIT", (i + n) % len(plan.world.packages), rcx=tdmr.base)


def spoiled(rng: Random, plan: BootPlan) -> BootPlan:
    """A plan with something wrong, or unusual, in its CMRs or TDMRs."""
    world, tdmrs = plan.world, list(plan.tdmrs)
    what = rng.randrange(4)
    if what == 0:
        cmrs = [(0, 1 << 30), (1 << 30, rng.choice((1 << 31, 1 << 40, 0, 4095)))]
        if rng.random() < 0.3:
            cmrs.reverse()
        platform = evolve(world.platform, cmrs=tuple(cmrs))
        return evolve(plan, world=evolve(world, platform=platform))
    if what == 1:
        shift = rng.choice((0, SIZE_4K, SIZE_2M, SIZE_1G, 1 << 63, 1 << 45))
        size = rng.choice((0, SIZE_1G, 3 * SIZE_1G, SIZE_2M, 1 << 63))
        tdmrs.append(TdmrPlan(TDMR_BASE + shift, size))
    elif what == 2:
        areas = [(rng.randrange(4) * SIZE_4K, rng.choice((0, 1, SIZE_4K, SIZE_1G))) for _ in "abc"]
        tdmrs[0] = evolve(tdmrs[0], reserved=tuple(areas))
    memory = list(config_pages(tdmrs))
    if what == 3:
        hpa, content = memory[rng.randrange(len(memory))]
        words = list(struct.unpack(f"<{len(content) // 8}Q", content))
        value = rng.choice((0, 1, TDMR_BASE, SIZE_4K, _PAMT_HPA, 1 << 45, rng.getrandbits(64)))
        words[rng.randrange(len(words))] = value
        memory.append((hpa, struct.pack(f"<{len(words)}Q", *words)))
    return evolve(plan, world=evolve(world, memory=(*memory, world.memory[-1])), tdmrs=tuple(tdmrs))
