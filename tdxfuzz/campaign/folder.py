"""The folder of a campaign: what lies where, and one coordinator at a time.

====================  ==========================================================
``store.sqlite``      all that is counted
``findings/``         a reproducer for each bucket, shrunk as soon as that is done
``originals/``        the same findings as they were met
``errors/``           a reproducer for each design that raised, or is not deterministic
``copy.sqlite``       the store as it was a while ago, should it be damaged
``corpus/``           cases that reached something new; more may be put there
``corpus/set-aside/`` files of the corpus that could not be read
``coordinator``       locked by the process that is at work here, and its number
``report.html`` …     written at the end of each run, and by ``campaign report``
====================  ==========================================================

Names are made from what is inside, of letters, digits and dashes: no text of a case or a design
can lead out of the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tdxfuzz.repro.reproducer import SUFFIX
from tdxfuzz.repro.write import write_whole

LONGEST = 80


class FolderError(Exception):
    """The folder of a campaign cannot be used; says what to do about it."""


class Folder:
    """Paths below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "store.sqlite"
        self.findings = root / "findings"
        self.originals = root / "originals"
        self.errors = root / "errors"
        self.corpus = root / "corpus"
        self.set_aside = self.corpus / "set-aside"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep other coordinators out for as long as this lasts.

        Raises:
            FolderError: there is one already, or the folder cannot be made or written to.
        """
        path = self.root / "coordinator"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            inside = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise FolderError(f"{self.root}: cannot be written to: {error.strerror}") from None
        with os.fdopen(handle, "r+") as file, _closed_at_end(inside):
            # The folder too, because somebody may remove the file. Some network file systems lock
            # files alone.
            if not (_locked(inside) and _locked(file.fileno())):
                holder = file.read().strip() or "unknown"
                raise FolderError(
                    f"{self.root}: a campaign is running here (process {holder}); "
                    "stop it first, or choose another folder"
                )
            file.truncate(0)
            file.seek(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def finding(self, design: str, bucket: str) -> Path:
        """Where the reproducer of a bucket is."""
        return self.findings / finding_name(design, bucket)

    def original(self, design: str, bucket: str) -> Path:
        """Where the case is that met a bucket first."""
        return self.originals / finding_name(design, bucket)

    def error(self, design: str, bucket: str) -> Path:
        """Where the reproducer of a design's error is."""
        return self.errors / finding_name(design, bucket)

    def add_entry(self, text: str) -> str:
        """Write a case into the corpus; its name."""
        name = entry_name(text)
        path = self.corpus / name
        if not path.exists():
            write_whole(text, path)
        return name

    def entries(self) -> list[Path]:
        """The files of the corpus, by name."""
        return sorted(path for path in self.corpus.glob(f"*{SUFFIX}") if not path.is_dir())

    def sweep(self) -> None:
        """Remove what a killed process was about to write."""
        for inside in (self.root, self.findings, self.originals, self.errors, self.corpus):
            for path in inside.glob(".*.tmp"):
                path.unlink(missing_ok=True)

    def put_aside(self, path: Path) -> Path:
        """Move a file out of the corpus, never over another."""
        self.set_aside.mkdir(parents=True, exist_ok=True)
        target, number = self.set_aside / path.name, 0
        while target.exists():
            number += 1
            target = self.set_aside / f"{path.name}.{number}"
        path.rename(target)
        return target


def _locked(handle: int) -> bool:
    """Lock a file or folder, if that can be; whether nobody else has it locked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _closed_at_end(handle: int) -> Iterator[None]:
    """Close a descriptor, and with it give up its lock."""
    try:
        yield
    finally:
        os.close(handle)


def is_corpus_entry(path: Path) -> bool:
    """Whether a file is a case in the corpus of a campaign, which expects no bucket."""
    # Not the file itself is resolved: it may be a link to itself.
    folders = path.parent.resolve() / path.name
    corpora = (Folder(parent.parent) for parent in folders.parents)
    return any(folder.corpus in folders.parents and folder.store.is_file() for folder in corpora)


def finding_name(design: str, bucket: str) -> str:
    """A file name for a bucket under a design, readable and unmistakable."""
    told = f"{design}\n{bucket}".encode(errors="backslashreplace")
    digest = hashlib.sha256(told).hexdigest()[:8]
    return f"{_slug(f'{design} {bucket}')}-{digest}{SUFFIX}"


def entry_name(text: str) -> str:
    """The name of a corpus entry with this text."""
    return f"{hashlib.sha256(text.encode()).hexdigest()[:20]}{SUFFIX}"


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower().replace("tdh.", ""))
    return slug.strip("-")[:LONGEST].strip("-")
