"""A store that is damaged, in whichever way, is told from a whole one, and nothing begins anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from campaigns import SMALL, Campaign
from commands import Invoke
from tdxfuzz.campaign.checksum import computed_checksum, stored_checksum
from tdxfuzz.campaign.coordinator import Limits
from tdxfuzz.campaign.store import CutOff, Store
from tdxfuzz.campaign.store_file import COPY, StoreError, open_to_read

RUN = ("campaign", "run", "c", "hint", "merged", "--cases", 160, "--batch", 80, "--workers", 1)
ROWS = ("meta", "hunts", "calls", "features", "corpus", "findings", "events")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign that found something."""
    campaign = Campaign(tmp_path_factory.mktemp("store") / "c")
    campaign.run(Limits(cases=3 * SMALL.batch))
    return campaign.folder.root


def rows(store: Path) -> list[tuple[object, ...]]:
    with closing(open_to_read(store)) as db:
        return [(table, *row) for table in ROWS for row in db.execute(f"SELECT * FROM {table}")]


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "c"))


def cut(part: float) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        os.truncate(store, int(store.stat().st_size * part))

    return damage


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda store: os.truncate(store, size)


def zero_page(number: int) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        with store.open("r+b") as file:
            file.seek(number * 4096)
            file.write(bytes(4096))

    return damage


def flip(seed: int, count: int) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        rng, text = Random(seed), bytearray(store.read_bytes())
        for _ in range(count):
            text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
        store.write_bytes(text)

    return damage


def say(sql: str) -> Callable[[Path], None]:
    """What another program may do to the store."""

    def damage(store: Path) -> None:
        with closing(sqlite3.connect(store)) as db:
            db.executescript(sql)

    return damage


def text_file(store: Path) -> None:
    store.write_text("This is no database.\n" * 9)


def folder(store: Path) -> None:
    store.unlink()
    store.mkdir()


def fifo(store: Path) -> None:
    store.unlink()
    os.mkfifo(store)


def link_to_itself(store: Path) -> None:
    store.unlink()
    store.symlink_to(store)


def swapped(store: Path) -> None:
    text = store.read_bytes()
    store.write_bytes(text[:4096] + text[8192:12288] + text[4096:8192] + text[12288:])


def appended(store: Path) -> None:
    with store.open("ab") as file:
        file.write(b"x" * 5000)


def other_database(store: Path) -> None:
    store.unlink()
    say("CREATE TABLE mine (x); INSERT INTO mine VALUES (1);")(store)


DAMAGES = {
    "no bytes": cut_to(0),
    "1 byte": cut_to(1),
    "a header": cut_to(100),
    "a page": cut_to(4096),
    "a third": cut(1 / 3),
    "half": cut(1 / 2),
    "nine tenths": cut(9 / 10),
    "all but a byte": lambda store: os.truncate(store, store.stat().st_size - 1),
    **{f"page {number} is zero": zero_page(number) for number in (0, 1, 2, 5, 9)},
    **{f"a bit, {seed}": flip(seed, 1) for seed in range(12)},
    **{f"forty bits, {seed}": flip(seed, 40) for seed in range(4)},
    "a text": text_file,
    "a folder": folder,
    "a FIFO": fifo,
    "a link to itself": link_to_itself,
    "two pages swapped": swapped,
    "a tail": appended,
    "an earlier format": say("PRAGMA user_version = 0;"),
    "a later format": say("PRAGMA user_version = 3;"),
    "another database": other_database,
    "a table more": say("CREATE TABLE mine (x);"),
    "a table less": say("DROP TABLE events;"),
    "a number": say("UPDATE hunts SET cases = cases + 1 WHERE number = 0;"),
    "a row less": say("DELETE FROM hunts WHERE number = 0;"),
    "no settings": say("DELETE FROM meta WHERE name = 'settings';"),
    "removed": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_an_error_or_what_it_was(
    damage: Callable[[Path], None], broken: Path, invoke: Invoke
) -> None:
    store = broken / "store.sqlite"
    before = rows(store)
    damage(store)
    after = os.lstat(store) if os.path.lexists(store) else None
    status = invoke("campaign", "status", "c")
    if status.code != 2:
        # The damage was where there is nothing.
        assert rows(store) == before
        return
    for command in (RUN, ("campaign", "status", "c"), ("campaign", "report", "c")):
        answer = invoke(*command)
        assert answer.code == 2
        (line,) = answer.err.splitlines()
        assert "c/store.sqlite: " in line
        assert "starting a campaign" not in answer.out
        if stat.S_ISLNK(0 if after is None else after.st_mode):
            continue
        assert "cp copy.sqlite store.sqlite" in line
    now = os.lstat(store) if os.path.lexists(store) else None
    assert (now and (now.st_size, now.st_mode)) == (after and (after.st_size, after.st_mode))


@pytest.mark.parametrize("damage", [text_file, Path.unlink], ids=["a text", "removed"])
def test_what_the_error_says_brings_the_campaign_back(
    damage: Callable[[Path], None], broken: Path, invoke: Invoke
) -> None:
    before = rows(broken / "store.sqlite")
    damage(broken / "store.sqlite")
    told = invoke(*RUN).err
    subprocess.run(told.partition("To go on from there: ")[2], shell=True, check=True)
    again = rows(broken / "store.sqlite")
    # The copy was made before the last event was told.
    assert [row for row in again if row[0] != "events"] == [
        row for row in before if row[0] != "events"
    ]
    assert invoke("campaign", "status", "c").code == 1


def test_without_a_copy_the_error_says_how_to_keep_the_cases(broken: Path, invoke: Invoke) -> None:
    text_file(broken / "store.sqlite")
    (broken / COPY).write_text("")
    (line,) = invoke(*RUN).err.splitlines()
    assert line.endswith("take over the cases: tdxfuzz campaign merge NEW c")


def test_the_checksum_is_that_of_the_rows(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=SMALL.batch))
    with campaign.store() as store:
        for _ in range(2):
            with store.transaction():
                store.cut_off(CutOff("hint", "raised", "crash", "text"))
                store.sample(store.totals(), 1, 1)
        store.set_meta("seconds", "7")
        with suppress(ZeroDivisionError), store.transaction():
            store.set_meta("seconds", "8")
            _ = 1 // 0
        assert store.meta("seconds") == "7"
        with store.transaction():
            store.cut_off(CutOff("hint", "lost", is_suspect=True))
            store.clear_suspects()
    with closing(open_to_read(campaign.folder.store)) as db:
        assert computed_checksum(db) == stored_checksum(db) != 0


@pytest.fixture
def read_only(whole: Path) -> Iterator[Path]:
    """A copy where nobody but root may write, seen by somebody who is not root."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    root = Path(shutil.copytree(whole, place / "c"))
    for path in (*root.rglob("*"), root):
        path.chmod(0o555 if path.is_dir() else 0o444)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    yield root
    os.seteuid(me)
    root.chmod(0o755)
    shutil.rmtree(place, ignore_errors=True)


def test_a_store_can_be_read_where_nothing_can_be_written(read_only: Path, whole: Path) -> None:
    with pytest.raises(PermissionError):
        (read_only / "new").touch()
    with closing(Store(read_only / "store.sqlite", read_only=True)) as store:
        assert store.totals().cases == 3 * SMALL.batch
    with pytest.raises(StoreError):
        Store(read_only / "store.sqlite")
