"""The SEAMCALL ABI as data: leaves, status words, registers, addresses.

Imports nothing of ours; everything else may import it.
"""

from tdxfuzz.abi.address import KeyIdBits
from tdxfuzz.abi.guest_leaf import GUEST_BY_NAME, GUEST_BY_NUMBER, GUEST_LEAVES
from tdxfuzz.abi.leaf import BY_NAME, BY_NUMBER, LEAVES, Leaf, UnknownLeafError, find
from tdxfuzz.abi.registers import Registers
from tdxfuzz.abi.status import DEAD, SUCCESS, Status, code, status
from tdxfuzz.abi.status_codes import CODES, OPERANDS

__all__ = [
    "BY_NAME",
    "BY_NUMBER",
    "CODES",
    "DEAD",
    "GUEST_BY_NAME",
    "GUEST_BY_NUMBER",
    "GUEST_LEAVES",
    "LEAVES",
    "OPERANDS",
    "SUCCESS",
    "KeyIdBits",
    "Leaf",
    "Registers",
    "Status",
    "UnknownLeafError",
    "code",
    "find",
    "status",
]
