"""KVM's ways to make a SEAMCALL that needs a lock somebody else may hold.

Source: arch/x86/kvm/vmx/tdx.c (v6.19): ``tdh_do_no_vcpus``, ``TDX_BUG_ON``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER, CODES, Registers, Status

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.page import PageCache
    from tdxfuzz.host.tdx_core import TdxCore

MISSING = CODES["MISSING_PAMT_PAGE_PAIR"]


def call(host: TdxCore, leaf: int, version: int = 0, **registers: int) -> tuple[Status, Registers]:
    """A SEAMCALL; BUSY is the caller's problem.

    Where the design wants KVM to, it is repeated until it is not BUSY: the loops that the lazy
    scheme could not do without (20250918232224.2202592-1).
    """
    status, regs = host.seamcall(leaf, version, **registers)
    while status.busy and "OPERAND_BUSY" in host.layer.repeated_by_kvm():
        host.cpu_relax()
        status, regs = host.seamcall(leaf, version, **registers)
    return status, regs


def call_using(
    host: TdxCore, pfn: int, kind: str, cache: PageCache | None, leaf: int, **registers: int
) -> Status:
    """A SEAMCALL that makes a page a ``kind``; its range's pair was got.

    With a cache, which is the fault path, BUSY is the caller's problem; without, it is
    as in :func:`call`.
    """
    make = partial(call, host) if cache is None else host.seamcall
    return with_pair(host, pfn, kind, cache, lambda: make(leaf, **registers)[0])


def with_pair(
    host: TdxCore, pfn: int, kind: str, cache: PageCache | None, make: Callable[[], Status]
) -> Status:
    """What makes a page a ``kind``, once or until it does not miss the pair of its range.

    Under a design that retries, a leaf that misses the pair is repeated after another
    ``get``; the hold on the range then begins with the leaf's success.
    """
    layer = host.layer
    status = make()
    while layer.retries_missing and status >> 32 == MISSING:
        host.cpu_relax()
        if host.get(pfn, kind, cache):
            break
        status = make()
    if layer.retries_missing and status.ok:
        host.hold(pfn, kind)
    return status


def call_no_vcpus(host: TdxCore, leaf: int, **registers: int) -> tuple[Status, Registers]:
    """``tdh_do_no_vcpus``: on BUSY kick this VM's vCPUs out and call exactly once more.

    Kicking has no effect of its own here: no vCPU runs.
    """
    status, regs = call(host, leaf, **registers)
    if status.busy:
        status, regs = host.seamcall(leaf, **registers)
    return status, regs


def bug_on(host: TdxCore, leaf: int, status: Status) -> bool:
    """``TDX_BUG_ON`` / ``KVM_BUG_ON``: report a status that the path cannot handle."""
    if status.ok:
        return False
    host.warn("KVM", f"KVM_BUG_ON({BY_NUMBER[leaf]} = {status})", leaf, status)
    return True
