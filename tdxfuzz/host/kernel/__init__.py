"""Kernel primitives under the kernel's names: atomics, locks, pages, error numbers."""
