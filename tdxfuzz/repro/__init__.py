"""Reproducer files: write, read, replay, show."""
