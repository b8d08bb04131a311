"""Where a command writes what it finds: tried before the work, and no loss if it fails later."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.repro.write import write_whole


def probe(folder: Path) -> None:
    """See that files can be written into a folder, and leave everything as it was.

    Raises:
        UsageProblem: they cannot, so the work would be in vain.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp") as file:
            file.write(b"probe")
            file.flush()
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageProblem(f"{folder}: nothing can be written there: {why}") from None
    finally:
        for made in missing:
            with suppress(OSError):
                made.rmdir()


def keep(text: str, path: Path, output: Output) -> bool:
    """Write a file of what was found. If that fails, the text is printed, because the work that
    led to it may have taken hours.

    Returns:
        Whether the file is there.
    """
    try:
        write_whole(text, path)
    except OSError as error:
        print_error(f"{path}: cannot be written: {error.strerror or error}; its text is printed")
        output.line(f"The text of {path}, which could not be written:")
        output.block(text)
        return False
    return True
