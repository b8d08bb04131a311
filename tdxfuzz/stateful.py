"""Public: Hypothesis machines for host operations on several CPUs, and for SEAMCALLs."""

from tdxfuzz.testing.stateful import ConcurrentMachine, SeamcallMachine, concurrent_machine

__all__ = ["ConcurrentMachine", "SeamcallMachine", "concurrent_machine"]
