"""The checks: one invariant or detector in each file."""

from tdxfuzz.check.atomic_sleep import AtomicSleep
from tdxfuzz.check.base import Check
from tdxfuzz.check.cache_underflow import CacheUnderflow
from tdxfuzz.check.data_race import DataRace
from tdxfuzz.check.deadlock import DeadlockCheck
from tdxfuzz.check.finding import Finding
from tdxfuzz.check.irq_safety import IrqSafety
from tdxfuzz.check.linearizable import Linearizable
from tdxfuzz.check.livelock import LivelockCheck
from tdxfuzz.check.lock_leak import LockLeak
from tdxfuzz.check.lock_order import LockOrder
from tdxfuzz.check.module_fatal import ModuleFatalCheck
from tdxfuzz.check.module_state import ModuleState, ModuleStateAtEveryCall
from tdxfuzz.check.page_leak import PageLeak
from tdxfuzz.check.page_owner import PageOwner
from tdxfuzz.check.pamt_in_use import PamtInUse
from tdxfuzz.check.refcount import Refcount
from tdxfuzz.check.unexpected_status import UnexpectedStatus

CHECKS: dict[str, type[Check]] = {
    check.id: check
    for check in (
        PamtInUse,
        Refcount,
        PageOwner,
        PageLeak,
        UnexpectedStatus,
        ModuleFatalCheck,
        ModuleState,
        LockLeak,
        DeadlockCheck,
        LockOrder,
        IrqSafety,
        AtomicSleep,
        CacheUnderflow,
        LivelockCheck,
    )
}
"""By id. At rest they run in this order: causes before consequences. For example, a count that
is too high keeps a pair, and the pages of that pair then look leaked."""

HOSTILE_CHECKS: dict[str, type[Check]] = {
    check.id: check for check in (ModuleFatalCheck, PageOwner, ModuleState, LockLeak, Linearizable)
}
"""What must hold even if the host makes any SEAMCALL it likes."""

C_CHECKS: dict[str, type[Check]] = {DataRace.id: DataRace}
"""What must hold of a layer in C, beside all of ``CHECKS``."""

ALL_CHECKS = {**CHECKS, **C_CHECKS, **HOSTILE_CHECKS}

CAREFUL: dict[str, type[Check]] = {ModuleState.id: ModuleStateAtEveryCall}
"""Slower versions of checks that look more often, for runs that can afford them."""

__all__ = ["ALL_CHECKS", "CAREFUL", "CHECKS", "C_CHECKS", "HOSTILE_CHECKS", "Check", "Finding"]
