"""kill -9 of workers and of the coordinator at random moments: nothing is lost.

``TDXFUZZ_KILLS=50 pytest tests/campaign/test_campaign_kills.py`` (``make kills``) does it
fifty times.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tdxfuzz.campaign.folder import Folder, entry_name
from tdxfuzz.campaign.store import Store
from tdxfuzz.repro.read import parse_case, read, read_text
from tiers import slow

KILLS = int(os.environ.get("TDXFUZZ_KILLS", "4"))
BATCH = 25


def command(folder: Path, cases: int) -> list[str]:
    run = ["campaign", "run", str(folder), "hint", "v3", "merged", "hostile"]
    options = ["--cases", str(cases), "--batch", str(BATCH), "--workers", "2", "--seed", "1"]
    return [sys.executable, "-m", "tdxfuzz", *run, *options]


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


class Seen:
    """What was in a campaign's folder when it was last looked at."""

    def __init__(self) -> None:
        self.hunts: dict[int, tuple[object, ...]] = {}
        self.buckets: dict[tuple[str, str], int] = {}
        self.entries: set[str] = set()

    def look(self, folder: Folder) -> None:
        """Look again: all is whole, and nothing is gone or counted otherwise."""
        if not folder.store.exists():
            return
        with closing(Store(folder.store)) as store:
            assert store.query("PRAGMA integrity_check") == [("ok",)]
            rows = store.query("SELECT number, design, cases, steps FROM hunts")
            hunts = {int(str(row[0])): row for row in rows}
            buckets = {(f.design, f.bucket): f.sightings for f in store.findings()}
            known = set(store.entry_names())
        assert all(row[2] == BATCH for row in hunts.values())
        assert self.hunts.items() <= hunts.items()
        assert all(buckets[key] >= count for key, count in self.buckets.items())
        texts = {path.name: read_text(path) for path in folder.entries()}
        for name, text in texts.items():
            parse_case(text)
            assert name == entry_name(text)
        assert known <= set(texts)
        assert self.entries <= set(texts)
        for path in (*folder.findings.glob("*.toml"), *folder.originals.glob("*.toml")):
            read(path)
        self.hunts, self.buckets, self.entries = hunts, buckets, set(texts)


@slow
def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "c")
    rng = random.Random(1)
    seen = Seen()
    survived = 0
    for kill in range(KILLS):
        with (tmp_path / "log").open("w") as log:
            run = subprocess.Popen(
                command(folder.root, 10**9), stdout=log, stderr=log, start_new_session=True
            )
            # Now and then before it has begun, most often in the midst of it.
            time.sleep(rng.choice((rng.uniform(0, 1.5), rng.uniform(1.5, 4))))
            assert run.poll() is None, (tmp_path / "log").read_text()
            workers = children(run.pid)
            if kill % 2 and workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
                time.sleep(rng.uniform(0.1, 2))
                assert run.poll() is None, (tmp_path / "log").read_text()
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
        seen.look(folder)
        survived += 1
    assert survived == KILLS
    cases = (len(seen.hunts) + 8) * BATCH
    end = subprocess.run(command(folder.root, cases), capture_output=True, text=True, check=False)
    assert end.returncode in (0, 1, 3), end.stderr
    before = len(seen.hunts)
    seen.look(folder)
    assert len(seen.hunts) >= before + 8
    with closing(Store(folder.store)) as store:
        assert store.counted() >= set(range(before))
    print(f"{survived} of {KILLS} survived; {len(seen.hunts)} hunts, {len(seen.entries)} entries")
