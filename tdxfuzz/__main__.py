"""``python -m tdxfuzz``."""

from tdxfuzz.cli import entry

if __name__ == "__main__":
    entry()
