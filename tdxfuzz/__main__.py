"""``python -m tdxfuzz``."""

from tdxfuzz.cli import main

main()
