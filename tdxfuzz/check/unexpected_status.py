"""unexpected-status: no path of the host gets an answer that it cannot handle."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tdxfuzz.check.base import NOBODY, Check
from tdxfuzz.check.finding import WARN
from tdxfuzz.host.design import PAMT_REMOVE
from tdxfuzz.host.kernel.errno import EBUSY, ENOMEM, errno_name

if TYPE_CHECKING:
    from tdxfuzz.abi import Status

_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9][0-9a-f]{5,}\b|\d+", re.IGNORECASE)
_OPERAND = re.compile(r"\|[A-Z][A-Z0-9]+\b")
"""The operand that a status names: ``OPERAND_BUSY|RDX``."""

MOST_LETTERS = 60


def kind_of(message: str) -> str:
    """What the messages of one WARN have in common, for a bucket: without numbers, addresses and
    the operands of statuses.
    """
    words = _NUMBER.sub("N", _OPERAND.sub("", message)).replace("/", " ").split()
    return " ".join(words)[:MOST_LETTERS].rstrip() or NOBODY


class UnexpectedStatus(Check):
    """A path of the host gets an answer that it cannot handle: a WARN or KVM_BUG_ON, a refused
    REMOVE that the design does not tolerate, or a ``get`` that fails although memory is left.
    """

    id = "unexpected-status"
    source = "arch/x86/kvm/vmx/tdx.c: paths that must not fail; v6 05/11: WARN_ONCE"
    witness = "a pair was removed while another CPU was in an operation"

    def pair_removed(self, range_hpa: int) -> None:
        if self.in_flight.operations > 1:
            self.seen = True

    def warned(self, who: str, message: str, leaf: int | None, status: Status | None) -> None:
        if status is not None:
            self.report(
                f"{who}: {message}", leaf=leaf if leaf is not None else who, status=status.name
            )
            return
        self.report(
            f"{who}: {message}",
            leaf=leaf if leaf is not None else who,
            status=WARN,
            objects=kind_of(message),
        )

    def remove_refused(self, pfn: int, status: Status) -> None:
        if status.name not in self.host.layer.tolerates and not status.is_software:
            name = self.host.layout.name_of_range(pfn << 12)
            self.report(
                f"PAMT.REMOVE({name}) = {status}, which the design does not handle",
                leaf=PAMT_REMOVE,
                status=status.name,
            )

    def get_failed(self, pfn: int, result: int) -> None:
        if self.host.module.dead is not None:
            return
        if result == -ENOMEM and self.host.pages.refused:
            return
        if result == -EBUSY and "OPERAND_BUSY" in self.host.layer.tolerates:
            return
        name = self.host.layout.name_of_page(pfn << 12)
        self.report(
            f"get for {name} failed with {errno_name(result)}, although memory is left",
            leaf="get",
            status=errno_name(result),
        )
