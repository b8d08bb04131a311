"""The module as the host sees it: SEAMCALL in, status and registers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER, DEAD, Registers, Status, status
from tdxfuzz.module.call import Call, LogicalProcessor
from tdxfuzz.module.codes import OPERAND_INVALID, RAX, REMOVAL_HINT
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.key_table import KeyTable
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.lock import AtomicCount
from tdxfuzz.module.memory import Memory
from tdxfuzz.module.pamt import Pamt, Pamt2M
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.td import Tdr, Tdvps
from tdxfuzz.module.tdmr import Tdmr, TdmrInfo
from tdxfuzz.module.variants import DEFAULT, Variant
from tdxfuzz.sim import HarnessError

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator

MODEL_VERSION = "1.5.25"

_HAS_VERSIONS = frozenset(leaf.number for leaf in BY_NUMBER.values() if len(leaf.versions) > 1)


class LeafNotModelledError(HarnessError):
    """The leaf exists in module 1.5.25, but this model does not have it yet."""


class ModuleWatch:
    """What an observer of the module can be told; each method does nothing by default."""

    def fatal(self, lp: LogicalProcessor, call: Call, fatal: ModuleFatal) -> None:
        """A sanity check failed during ``call``; the module is dead from now on."""

    def pair_added(self, range_hpa: int) -> None:
        """A range got its PAMT page pair: the instant at which it shows."""

    def pair_removed(self, range_hpa: int) -> None:
        """PAMT.REMOVE takes effect: at this instant the range has no page pair any more."""

    def page_gone(self, hpa: int) -> None:
        """A page was freed, and its call will not touch the range's page pair any more."""

    def touched(self, backing_page: int, entry: str) -> None:
        """The module wrote to ``entry``, in a page it has given back."""


class TdxModule:
    """Module 1.5.25 after SYS_READY, with all processors initialised.

    Args:
        sim: the simulator that orders its steps.
        tdmrs: as given to SYS.CONFIG, ascending.
        dynamic_pamt: bit 16 of SYS.CONFIG's R8.
        platform: the machine.
        memory: physical memory; a new, empty one by default.
        variant: what is locked otherwise than in 1.5.25.
    """

    def __init__(
        self,
        sim: Simulator,
        tdmrs: Sequence[TdmrInfo],
        dynamic_pamt: bool = True,
        platform: Platform | None = None,
        memory: Memory | None = None,
        variant: Variant = DEFAULT,
    ) -> None:
        self.sim = sim
        self.platform = platform or Platform()
        self.memory = memory or Memory()
        self.hkid_mask = self.platform.key_bits.mask
        self.all_packages = (1 << self.platform.packages) - 1
        self.pamt = Pamt(
            sim,
            self.memory,
            [Tdmr(sim, info, i) for i, info in enumerate(tdmrs)],
            dynamic_pamt,
            variant,
        )
        self.keys = KeyTable(sim, self.platform)
        self.td_build_count = AtomicCount(sim, "TD_BUILD_COUNT")
        self.dead: ModuleFatal | None = None
        self.watch = ModuleWatch()

    def seamcall(
        self, lp: LogicalProcessor, leaf: int, regs: Registers, version: int = 0
    ) -> Status:
        """Execute one leaf; ``regs`` hold its operands and receive its outputs.

        Raises:
            LeafNotModelledError: the real module has the leaf, the model has not.
        """
        if self.dead is not None:
            return DEAD
        if version > 0 and (leaf not in _HAS_VERSIONS or version > 0xFF):
            return status(OPERAND_INVALID | RAX)
        handler = HANDLERS.get(leaf)
        if handler is None:
            if leaf in BY_NUMBER:
                raise LeafNotModelledError(f"{BY_NUMBER[leaf]} is not modelled")
            return status(OPERAND_INVALID | RAX)

        call = Call(leaf, version, lp, regs)
        try:
            try:
                word = handler(self, call)
            except Refused as refused:
                word = refused.status
            call.unwind()
        except ModuleFatal as fatal:
            self.dead = fatal
            self.watch.fatal(lp, call, fatal)
            return DEAD
        return status(word)

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

    def uncount(self, node: Pamt2M | None) -> int:
        """A page was freed: one page less in its range; the hint bit if it was the last.

        pamt_dec_nl_page_count_and_get_hint.
        """
        return REMOVAL_HINT if self.pamt.count_down(node) else 0

    def touched_page_given_back(self, backing_page: int, entry: str) -> None:
        """The exit path of a call reaches an entry whose page the host has again."""
        self.watch.touched(backing_page, entry)
