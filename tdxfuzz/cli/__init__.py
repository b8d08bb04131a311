"""The command line: thin, and imported by nobody."""

from tdxfuzz.cli.main import main

__all__ = ["main"]
