"""Property-based fuzzing of the TDX SEAMCALL ABI."""

__version__ = "0.1.0"
