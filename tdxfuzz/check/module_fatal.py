"""module-fatal: no sanity check of the module fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.check.base import Check

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call, LogicalProcessor
    from tdxfuzz.module.errors import ModuleFatal
    from tdxfuzz.sim import Outcome


class ModuleFatalCheck(Check):
    """A sanity check of the module fails. The module shuts down, and every TD is lost."""

    id = "module-fatal"
    source = "src/common/helpers/error_reporting.c; error numbers in fatal_info.h"
    witness = "SEAMCALLs of two CPUs overlapped"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.in_flight.calls_met

    def fatal(self, lp: LogicalProcessor, call: Call, fatal: ModuleFatal) -> None:
        self.report(
            f"the module shut down in {BY_NUMBER[call.leaf].name}: {fatal}",
            leaf=call.leaf,
            status=f"FATAL_{fatal.fatal_id}",
            objects="module",
        )
