"""The command line: thin. No other room imports it."""

from tdxfuzz.cli.main import entry, main

__all__ = ["entry", "main"]
