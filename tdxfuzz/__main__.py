"""``python -m tdxfuzz``."""

from tdxfuzz.cli import main

if __name__ == "__main__":
    main()
