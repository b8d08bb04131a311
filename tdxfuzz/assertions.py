"""Public: what a test asserts about a case."""

from tdxfuzz.testing.assertions import Broken, BrokenAtOnce, assert_clean, assert_same

__all__ = ["Broken", "BrokenAtOnce", "assert_clean", "assert_same"]
