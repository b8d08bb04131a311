"""The module's global state: how far it has been brought up, and by which processors.

Source: tdx_module_global_t and sysinit_state_e in src/common/data_structures/tdx_global_data.h.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.module.codes import SYS_BUSY, SYS_NOT_READY, SYS_SHUTDOWN
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.lock import EXCLUSIVE, AtomicCount, SharexLock
from tdxfuzz.sim import Declared, Variable

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call, LogicalProcessor
    from tdxfuzz.sim import Simulator

LP_SHUTDOWN = 44

BEFORE_READY = frozenset(
    {
        31,  # SYS.KEY.CONFIG
        32,  # SYS.INFO
        33,  # SYS.INIT
        34,  # SYS.RD
        35,  # SYS.LP.INIT
        37,  # SYS.RDALL
        LP_SHUTDOWN,
        45,  # SYS.CONFIG
        53,  # SYS.UPDATE
    }
)
"""The leaves the dispatcher lets through whatever the state; after a shutdown only one."""


class SysState(IntEnum):
    """SYS_STATE, in the order in which a module goes through it."""

    SYSINIT_PENDING = 0
    SYSINIT_DONE = 1
    SYSCONFIG_DONE = 2
    SYS_READY = 3
    SYS_SHUTDOWN = 4


class System:
    """What the leaves that bring the module up and down share.

    ``state`` is written with ``lock`` held exclusive and read by every call without it.
    A call that finds SYS_READY takes no step for that: only SYS.SHUTDOWN could change it,
    and that goes back if it then finds another call in flight. ``busy_lps`` counts calls in
    flight, from before the look at the state until after everything is released; as only
    SYS.SHUTDOWN reads it, its changes are no steps. ``pkg_config_bitmap`` has a bit for
    each package that has the global key.

    Args:
        sim: the simulator.
        num_lps: how many logical processors the machine has (NUM_LPS of MCHECK).
        state: SYSINIT_PENDING as after a reset; beyond SYSINIT_DONE all processors have
            done SYS.LP.INIT.
    """

    __slots__ = (
        "_all_lps_init",
        "_init_lps",
        "busy_lps",
        "lock",
        "num_init_lps",
        "num_lps",
        "pkg_config_bitmap",
        "state",
    )

    STATE: ClassVar = Declared(
        shared="pkg_config_bitmap _init_lps",
        parts="lock num_init_lps state",
        derived="busy_lps",
        fixed="num_lps _all_lps_init",
    )

    def __init__(
        self, sim: Simulator, num_lps: int, state: SysState = SysState.SYSINIT_PENDING
    ) -> None:
        self.lock = SharexLock(sim, "GLOBAL")
        self.state = Variable(sim, "SYS_STATE", state)
        self.busy_lps = Variable(sim, "BUSY_LPS", 0)
        self.num_lps = num_lps
        self.num_init_lps = AtomicCount(sim, "NUM_INIT_LPS")
        self.pkg_config_bitmap = 0
        self._init_lps: set[int] = set()
        self._all_lps_init = state > SysState.SYSINIT_DONE
        if self._all_lps_init:
            self.num_init_lps.value = num_lps

    def is_lp_init(self, lp: LogicalProcessor) -> bool:
        """Whether a processor has done SYS.LP.INIT. No step: it asks about itself."""
        return self._all_lps_init or lp.id in self._init_lps

    def package_of(self, lp: LogicalProcessor) -> int:
        """The package that the module takes a processor to be on: 0 until its SYS.LP.INIT."""
        return lp.package if self.is_lp_init(lp) else 0

    def init_lp(self, lp: LogicalProcessor) -> None:
        """A processor has done SYS.LP.INIT (tdx_local_init)."""
        self._init_lps.add(lp.id)
        self.num_init_lps.xadd(1)

    def take(self, call: Call, mode: str) -> None:
        """Lock the whole module for a call.

        Raises:
            Refused: SYS_BUSY.
        """
        lock = self.lock
        if not (lock.acquire_ex() if mode == EXCLUSIVE else lock.acquire_sh()):
            raise Refused(SYS_BUSY)
        call.hold(lock.release_ex if mode == EXCLUSIVE else lock.release_sh)

    def admit(self, leaf: int) -> None:
        """The dispatcher looks at the state, which was not SYS_READY a moment ago.

        The source looks twice; what it would see only in between is not modelled.

        Raises:
            Refused: SYS_SHUTDOWN or SYS_NOT_READY.
        """
        state = self.state.read()
        if state is SysState.SYS_SHUTDOWN and leaf != LP_SHUTDOWN:
            raise Refused(SYS_SHUTDOWN)
        if state is not SysState.SYS_READY and leaf not in BEFORE_READY:
            raise Refused(SYS_NOT_READY)
