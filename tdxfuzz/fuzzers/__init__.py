"""Executable atheris targets."""
