"""A module right after its reset, and how a host brings it up.

The TDMR is the lab's, one gigabyte at ``BASE``; its PAMT lies at ``OUTSIDE``, and what
SYS.CONFIG is given lies in the host's memory from ``LIST`` on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, frozen

from tdxfuzz.abi.address import SIZE_1G, SIZE_4K
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.system import SysState
from tdxfuzz.module.tdmr_config import Area, TdmrInfoEntry, required_pamt_size

from .lab import BASE, OUTSIDE, Lab, Result

LIST = 1 << 25
"""The list of TDMR_INFO addresses; the structures follow, a page each."""
GLOBAL = 32
DYNAMIC = 1 << 16
"""The bit of SYS.CONFIG's R8 that asks for dynamic PAMT."""


def tdmr_info_bytes(info: TdmrInfoEntry) -> bytes:
    """TDMR_INFO as the host writes it: 20 areas of two quadwords each."""
    areas = [info.tdmr, *reversed(info.pamt), *info.reserved]
    areas += [Area(0, 0)] * (20 - len(areas))
    return struct.pack("<40Q", *(number for area in areas for number in (area.base, area.size)))


def entry(
    base: int = BASE,
    size: int = SIZE_1G,
    dynamic: bool = True,
    pamt: int = OUTSIDE,
    reserved: Sequence[tuple[int, int]] = (),
) -> TdmrInfoEntry:
    """A TDMR_INFO that is all right: its PAMT regions are just large enough.

    They lie 16MB apart from ``pamt`` on, 4KB first; ``reserved`` are (offset, size).
    """
    sizes = [required_pamt_size(size, level, dynamic) for level in range(3)]
    first, second, third = (
        Area(pamt + (level << 24), max(size, SIZE_4K)) for level, size in enumerate(sizes)
    )
    areas = tuple(Area(offset, size) for offset, size in reserved)
    return TdmrInfoEntry(Area(base, size), (first, second, third), areas)


def with_region(
    info: TdmrInfoEntry, level: int, base: int, size: int | None = None
) -> TdmrInfoEntry:
    """The same TDMR_INFO with one PAMT region elsewhere, or of another size."""
    regions = list(info.pamt)
    regions[level] = Area(base, regions[level].size if size is None else size)
    return evolve(info, pamt=(regions[0], regions[1], regions[2]))


class BootLab(Lab):
    """A module before SYS.INIT.

    CPU ``i`` belongs to package ``i`` modulo their number.
    """

    def __init__(self, cpus: int = 1, platform: Platform | None = None) -> None:
        super().__init__(cpus, True, (), platform)
        memory = self.module.memory
        self.module = TdxModule.at_reset(self.sim, platform, memory)
        self.module.watch = self.watch
        packages = self.module.platform.packages
        self.lps = [LogicalProcessor(i, i % packages) for i in range(cpus)]

    @property
    def sys_state(self) -> SysState:
        return self.module.system.state.value

    def everything(self) -> object:
        """State of the module as a whole, HKIDs that are reserved included."""
        module, system = self.module, self.module.system
        keys = {hkid: key.state for hkid, key in module.keys.entries.items()}
        lps = [system.is_lp_init(lp) for lp in self.lps]
        tdmrs = [(tdmr.base, tdmr.last_initialized) for tdmr in module.pamt.tdmrs]
        return self.sys_state, keys, lps, system.pkg_config_bitmap, tdmrs, self.state()

    def init(self) -> None:
        """SYS.INIT, and SYS.LP.INIT on all CPUs."""
        self.ok("SYS.INIT")
        for cpu in range(len(self.lps)):
            self.ok("SYS.LP.INIT", cpu)

    def describe(self, *infos: TdmrInfoEntry) -> None:
        """Put TDMR_INFOs where :meth:`config` looks for them."""
        for i, info in enumerate(infos):
            hpa = LIST + (i + 1) * SIZE_4K
            self.module.memory.write(LIST + 8 * i, hpa.to_bytes(8, "little"))
            self.module.memory.write(hpa, tdmr_info_bytes(info))

    def config(self, *infos: TdmrInfoEntry, dynamic: bool = True, hkid: int = GLOBAL) -> Result:
        """SYS.CONFIG with these TDMRs."""
        self.describe(*infos)
        return self.call("SYS.CONFIG", rcx=LIST, rdx=len(infos), r8=hkid | dynamic << 16)

    def boot(self, dynamic: bool = True) -> None:
        """All the way to SYS_READY, with one TDMR of which nothing is initialised."""
        self.init()
        assert self.config(entry(dynamic=dynamic), dynamic=dynamic).text == "SUCCESS"
        for cpu in range(self.module.platform.packages):
            self.ok("SYS.KEY.CONFIG", cpu)
        assert self.sys_state is SysState.SYS_READY


def just_loaded(lab: BootLab) -> None:
    """No leaf was called yet."""


@frozen
class Row:
    """A call that is refused: what was done before, its operands, and the status."""

    leaf: str
    before: Callable[[BootLab], object]
    status: str
    registers: Mapping[str, int]
    version: int

    def __str__(self) -> str:
        return f"{self.leaf}: {self.before.__name__}: {self.status}"


def row(
    leaf: str,
    before: Callable[[BootLab], object],
    status: str,
    version: int = 0,
    **registers: int,
) -> Row:
    return Row(leaf, before, status, registers, version)


def check_refused(lab: BootLab, case: Row) -> Result:
    """The call gives just this status, changes nothing, and holds nothing afterwards."""
    case.before(lab)
    state, held = lab.everything(), lab.held()
    result = lab.call(case.leaf, 0, case.version, **case.registers)
    assert result.text == case.status
    assert lab.everything() == state
    assert lab.held() == held
    return result
