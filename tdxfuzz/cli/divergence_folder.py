"""The folder of divergences: files of earlier runs stay, and are told from those of this run."""

from __future__ import annotations

import re
from pathlib import Path

from tdxfuzz.repro.words import counted
from tdxfuzz.targets.library.compare import Divergence
from tdxfuzz.targets.library.files import SUFFIX, key_in

MOST_NAMED = 8
"""Names of files that are told."""


class DivergenceFolder:
    """Gives each divergence its file. One that an earlier run has written already, by leaf, field
    and the classes of both values, keeps that; no other file is written over.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
        self._earlier = {path: key_in(path) for path in paths}
        self._again: set[Path] = set()
        self._new: list[Path] = []
        numbers = [int(found[0]) for path in paths if (found := re.match(r"\d+", path.name))]
        self._next = max(numbers, default=0) + 1

    def path_of(self, found: Divergence, words: str) -> Path:
        """Where a divergence goes; ``words`` are what a new file is called."""
        for path, key in self._earlier.items():
            if key == found.key:
                self._again.add(path)
                return path
        words = re.sub(r"[^a-z0-9]+", "-", words.lower())
        path = self._folder / f"{self._next:02}-{words.removeprefix('tdh-')}{SUFFIX}"
        self._next += 1
        self._new.append(path)
        return path

    def is_new(self, path: Path) -> bool:
        """Whether no earlier run has written it."""
        return path not in self._again

    @property
    def not_seen(self) -> list[Path]:
        """Files of earlier runs whose divergence this run did not see."""
        return [path for path in self._earlier if path not in self._again]

    def told(self) -> list[str]:
        """What is in the folder, in words; nothing if there are only files of this run."""
        if not self._earlier:
            return []
        new, again, others = len(self._new), len(self._again), self.not_seen
        told = f"in {self._folder}: {counted(new, 'file')} new, {again} of earlier runs seen again"
        if not others:
            return [told]
        names = ", ".join(path.name for path in others[:MOST_NAMED])
        more = ", …" if len(others) > MOST_NAMED else ""
        return [told, f"  {counted(len(others), 'file')} of earlier runs not seen: {names}{more}"]
