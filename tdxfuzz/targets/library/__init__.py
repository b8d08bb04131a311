"""A module as a shared library (``tdxfuzz_target.h``), run in a process of its own."""
