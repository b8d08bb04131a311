"""The built-in designs, one file each, by the names commands use."""

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v6 import V6

DESIGNS: dict[str, type[RefcountLayer]] = {
    "hint": Hint,
    "v6": V6,
    "merged": Merged,
}

__all__ = ["DESIGNS"]
