"""KVM's ways to make a SEAMCALL that needs a lock somebody else may hold.

Source: arch/x86/kvm/vmx/tdx.c (v6.19): ``tdh_do_no_vcpus``, ``TDX_BUG_ON``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER, Registers, Status

if TYPE_CHECKING:
    from tdxfuzz.host.host import Host


def call(host: Host, leaf: int, **registers: int) -> tuple[Status, Registers]:
    """A SEAMCALL; BUSY is the caller's problem.

    Where the design tolerates OPERAND_BUSY by intent, it is repeated until it is not
    BUSY: the loops that the lazy scheme could not do without (20250918232224.2202592-1).
    """
    status, regs = host.seamcall(leaf, **registers)
    while status.busy and "OPERAND_BUSY" in host.layer.tolerates:
        host.cpu_relax()
        status, regs = host.seamcall(leaf, **registers)
    return status, regs


def call_no_vcpus(host: Host, leaf: int, **registers: int) -> tuple[Status, Registers]:
    """``tdh_do_no_vcpus``: on BUSY kick this VM's vCPUs out and call exactly once more.

    Kicking has no effect of its own here: no vCPU runs.
    """
    status, regs = call(host, leaf, **registers)
    if status.busy:
        status, regs = host.seamcall(leaf, **registers)
    return status, regs


def bug_on(host: Host, leaf: int, status: Status) -> bool:
    """``TDX_BUG_ON`` / ``KVM_BUG_ON``: report a status that the path cannot handle."""
    if status.ok:
        return False
    host.warn("KVM", f"KVM_BUG_ON({BY_NUMBER[leaf]} = {status})", leaf, status)
    return True
