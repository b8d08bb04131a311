"""The built-in designs, one file each, by the names commands use."""

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.bias_minus_one import BiasMinusOne
from tdxfuzz.host.designs.dedicated_pool import DedicatedPool
from tdxfuzz.host.designs.early_inc import EarlyInc
from tdxfuzz.host.designs.global_rwlock import GlobalRwlock
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.hint_retry import HintRetry
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.per_range_lock import PerRangeLock
from tdxfuzz.host.designs.per_range_rwlock import PerRangeRwlock
from tdxfuzz.host.designs.per_range_rwlock_ordered import PerRangeRwlockOrdered
from tdxfuzz.host.designs.rfc import Rfc
from tdxfuzz.host.designs.spin_on_busy import SpinOnBusy
from tdxfuzz.host.designs.v2 import V2
from tdxfuzz.host.designs.v3 import V3
from tdxfuzz.host.designs.v3_base import V3Base
from tdxfuzz.host.designs.v4 import V4
from tdxfuzz.host.designs.v5 import V5
from tdxfuzz.host.designs.v5_irqsave import V5Irqsave
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.designs.v6_base import V6Base

DESIGNS: dict[str, type[RefcountLayer]] = {
    "hint": Hint,
    "hint-retry": HintRetry,
    "rfc": Rfc,
    "v2": V2,
    "v3-base": V3Base,
    "v3": V3,
    "v4": V4,
    "v5": V5,
    "v5-irqsave": V5Irqsave,
    "v6-base": V6Base,
    "v6": V6,
    "merged": Merged,
    "bias-minus-one": BiasMinusOne,
    "early-inc": EarlyInc,
    "per-range-lock": PerRangeLock,
    "per-range-rwlock": PerRangeRwlock,
    "per-range-rwlock-ordered": PerRangeRwlockOrdered,
    "dedicated-pool": DedicatedPool,
    "global-rwlock": GlobalRwlock,
    "spin-on-busy": SpinOnBusy,
}
"""First what was posted, in time; then what was proposed."""

__all__ = ["DESIGNS"]
