"""Property-based fuzzing of the TDX SEAMCALL ABI."""

__version__ = "0.2.0.dev0"
