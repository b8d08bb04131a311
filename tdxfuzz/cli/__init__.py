"""The command line: thin. No other room imports it."""

from tdxfuzz.cli.main import main

__all__ = ["main"]
