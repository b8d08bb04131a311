"""The module as the host sees it: SEAMCALL in, status and registers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import BY_NAME, BY_NUMBER, DEAD, Registers, Status, status
from tdxfuzz.module.call import Call, LogicalProcessor
from tdxfuzz.module.codes import OPERAND_INVALID, RAX, REMOVAL_HINT
from tdxfuzz.module.errors import LeafNotModelledError, ModuleFatal, Refused
from tdxfuzz.module.key_table import KeyTable, Kot
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.lock import AtomicCount
from tdxfuzz.module.memory import Memory
from tdxfuzz.module.pamt import Pamt, Pamt2M
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.split import ALL_INDICES
from tdxfuzz.module.system import SysState, System
from tdxfuzz.module.td import Tdr, Tdvps
from tdxfuzz.module.tdmr import Tdmr, TdmrInfo
from tdxfuzz.module.variants import DEFAULT, Variant
from tdxfuzz.module.watch import ModuleWatch
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.module.leaves.registry import Handler
    from tdxfuzz.sim import Simulator

MODEL_VERSION = "1.5.25"

HAS_VERSIONS = frozenset(leaf.number for leaf in BY_NUMBER.values() if len(leaf.versions) > 1)
"""The leaves the dispatcher lets through with a version above 0."""

_READY = SysState.SYS_READY


class TdxModule:
    """Module 1.5.25 after SYS_READY, with all processors initialised.

    Args:
        sim: the simulator that orders its steps.
        tdmrs: as given to SYS.CONFIG, ascending.
        dynamic_pamt: bit 16 of SYS.CONFIG's R8.
        platform: the machine.
        memory: physical memory; a new, empty one by default.
        variant: what is otherwise than in 1.5.25.
        split_indices: which 4KB pages a 2MB page is split into; all 512, or a few.
    """

    STATE: ClassVar = Declared(
        shared="dead",
        parts="keys memory pamt system td_build_count",
        derived="watch",
        fixed="all_packages handlers hkid_mask platform sim split_indices variant",
    )

    def __init__(
        self,
        sim: Simulator,
        tdmrs: Sequence[TdmrInfo],
        dynamic_pamt: bool = True,
        platform: Platform | None = None,
        memory: Memory | None = None,
        variant: Variant = DEFAULT,
        split_indices: Sequence[int] = ALL_INDICES,
    ) -> None:
        self.sim = sim
        self.platform = platform or Platform()
        self.memory = memory or Memory()
        self.hkid_mask = self.platform.key_bits.mask
        self.all_packages = (1 << self.platform.packages) - 1
        self.variant = variant
        own = {BY_NAME[name].number: handler for name, handler in variant.leaves.items()}
        self.handlers = {**HANDLERS, **own} if own else HANDLERS
        self.split_indices = split_indices
        self.set_pamt(tdmrs, dynamic_pamt)
        self.keys = KeyTable(sim, self.platform)
        self.system = System(sim, len(sim.cpus), _READY)
        self.system.pkg_config_bitmap = self.all_packages
        self.td_build_count = AtomicCount(sim, "TD_BUILD_COUNT")
        self.dead: ModuleFatal | None = None
        self.watch = ModuleWatch()

    @classmethod
    def at_reset(
        cls,
        sim: Simulator,
        platform: Platform | None = None,
        memory: Memory | None = None,
        variant: Variant = DEFAULT,
        num_lps: int | None = None,
    ) -> TdxModule:
        """A module that was just loaded: before SYS.INIT, without TDMRs and a global HKID.

        ``num_lps`` is how many processors have to do SYS.LP.INIT: as many as there are
        simulated CPUs by default.
        """
        module = cls(sim, (), False, platform, memory, variant)
        module.system = System(sim, len(sim.cpus) if num_lps is None else num_lps)
        for key in module.keys.entries.values():
            key.state = Kot.FREE
        return module

    def set_pamt(self, tdmrs: Sequence[TdmrInfo], dynamic_pamt: bool) -> None:
        """Begin with the PAMT of these TDMRs: what SYS.CONFIG does once all is checked."""
        sim = self.sim
        numbered = [Tdmr(sim, info, i) for i, info in enumerate(tdmrs)]
        self.pamt = Pamt(sim, self.memory, numbered, dynamic_pamt, self.variant, self.split_indices)

    def seamcall(
        self, lp: LogicalProcessor, leaf: int, regs: Registers, version: int = 0
    ) -> Status:
        """Execute one leaf; ``regs`` hold its operands and receive its outputs.

        Raises:
            LeafNotModelledError: the real module has the leaf, the model has not.
        """
        if self.dead is not None:
            return DEAD
        system = self.system
        busy = system.busy_lps
        busy.value += 1
        call = Call(leaf, version, lp, regs)
        try:
            try:
                handler = self.handlers.get(leaf)
                if handler is None or version > 0 or system.state.value is not _READY:
                    handler = self._dispatch(leaf, version)
                word = handler(self, call)
            except Refused as refused:
                word = refused.status
            call.unwind()
        except ModuleFatal as fatal:
            self.dead = fatal
            self.watch.fatal(lp, call, fatal)
            return DEAD
        finally:
            busy.value -= 1
        return status(word)

    def _dispatch(self, leaf: int, version: int) -> Handler:
        """The leaf's function, found the long way (tdx_vmm_dispatcher.c).

        What of ``leaf`` and ``version`` RAX has no room for are its reserved bits.
        """
        if leaf >> 16 or version >> 8 or (version > 0 and leaf not in HAS_VERSIONS):
            raise Refused(OPERAND_INVALID | RAX)
        if self.system.state.value is not _READY:
            self.system.admit(leaf)
        handler = self.handlers.get(leaf)
        if handler is not None:
            return handler
        if leaf in BY_NUMBER:
            raise LeafNotModelledError(f"{BY_NUMBER[leaf]} is not modelled")
        raise Refused(OPERAND_INVALID | RAX)

    def tdr_at(self, hpa: int) -> Tdr:
        """The TDR in a page whose PAMT entry says TDR."""
        page = self.memory.at(hpa)
        assert isinstance(page, Tdr), f"no TDR at {hpa:#x}"
        return page

    def tdvps_at(self, hpa: int) -> Tdvps:
        """The vCPU in a page whose PAMT entry says TDVPR."""
        page = self.memory.at(hpa)
        assert isinstance(page, Tdvps), f"no TDVPR at {hpa:#x}"
        return page

    def dec_page_count_and_get_hint(self, node: Pamt2M | None) -> int:
        """A page was freed: one page less in its range; the hint bit if it was the last.

        pamt_dec_nl_page_count_and_get_hint.
        """
        return REMOVAL_HINT if self.pamt.count_down(node) else 0

    def touched_page_given_back(self, backing_page: int, entry: str) -> None:
        """The exit path of a call reaches an entry whose page the host has again."""
        self.watch.touched(backing_page, entry)
