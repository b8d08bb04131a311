"""Recorded transitions: what code did once at a state is not run again there."""
