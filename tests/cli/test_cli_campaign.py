"""``tdxfuzz campaign``: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import Answer, Invoke
from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.store_file import StoreError
from tiers import slow

SMALL = ("--cases", 240, "--batch", 80, "--workers", 1, "--seed", 6)


@pytest.fixture
def begun(invoke: Invoke) -> Answer:
    return invoke("campaign", "run", "c", "hint", "merged", *SMALL)


def test_a_campaign_from_the_first_line_to_the_last(begun: Answer) -> None:
    assert begun.code == 1
    lines = begun.out.splitlines()
    assert lines[0] == "starting a campaign in c: 2 designs, 1 worker, seed 6"
    path = "c/findings/hint-pamt-in-use-phymem-pamt-remove-success-range-9c3525c2.tdx.toml"
    bucket = "hint: pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
    assert f"found {bucket} after 175 cases" in lines
    assert (f"shrunk {bucket}: 2 operations, 1 preemption, replayed 10 of 10: {path}") in lines
    assert "stopped: 240 cases done" in lines
    heading = "Schemes that follow the module's hints: the module can be shut down"
    assert lines[-3:] == [bucket, f"  {path}", f"  known: docs/findings.md, {heading}"]
    for name in ("report.html", "junit.xml", "report.sarif", "summary.md", path[2:]):
        assert (Path("c") / name).is_file()


@slow
def test_status_says_the_same_as_the_end_of_the_run(begun: Answer, invoke: Invoke) -> None:
    status = invoke("campaign", "status", "c")
    assert status.code == begun.code
    assert begun.out.endswith(status.out)
    document = invoke("campaign", "status", "c", "--format", "json").json
    assert document["verdict"] == "fail"
    assert isinstance(document["findings"], list)
    (finding,) = document["findings"]
    assert (finding["operations"], finding["reliable"]) == (2, 10)


@slow
def test_the_same_command_goes_on(begun: Answer, invoke: Invoke) -> None:
    again = invoke("campaign", "run", "c", "hint", "merged", "--cases", 400, *SMALL[2:])
    assert again.out.startswith("continuing the campaign in c: 2 designs")
    assert "stopped: 400 cases done" in again.out
    other = invoke("campaign", "run", "c", "hint", "v2", *SMALL)
    assert other.code == 2
    assert "c/store.sqlite: designs: this campaign was started with" in other.err
    assert "Subject(" not in other.err
    assert other.err.endswith("give the same designs and options, or use another folder\n")


@slow
def test_reports_are_written_anew(begun: Answer, invoke: Invoke) -> None:
    Path("c/report.html").unlink()
    assert invoke("campaign", "report", "c", "--as", "html").out == "c/report.html\n"
    assert Path("c/report.html").is_file()
    document = invoke("campaign", "report", "c", "--format", "json").json
    assert len(document["reports"]) == 4  # type: ignore[arg-type]


@slow
def test_corpora_are_merged_and_minimised(begun: Answer, invoke: Invoke) -> None:
    number = len(list(Path("c/corpus").glob("*.toml")))
    assert invoke("campaign", "merge", "d", "c").out.startswith(f"{number} files copied")
    assert invoke("campaign", "run", "d", "hint", "merged", *SMALL).code == 1
    shrunk = invoke("campaign", "minimise", "d")
    assert shrunk.code == 0
    before, after = (int(word) for word in shrunk.out.split() if word.isdigit())
    assert after < before
    assert len(list(Path("d/corpus").glob("*.toml"))) == after


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status", "nowhere"), "nowhere/store.sqlite: no such store; start one: tdxfuzz"),
        (("report", "nowhere"), "nowhere/store.sqlite: no such store"),
        (("minimise", "empty"), "empty: no campaign here; start one: tdxfuzz"),
        (("run", "file", "hint"), "'file' is a file"),
        (("run", "c", "hnt"), "unknown design 'hnt'; did you mean hint"),
        (("run", "c", "hint", "--time", "soon"), "'soon' is not a duration"),
        pytest.param(
            ("run", "c", "hint", "--scheduler", "tcp://127.0.0.1:1"),
            "--scheduler tcp://127",
            marks=slow,
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_is_said_in_a_line(
    invoke: Invoke, arguments: tuple[str, ...], said: str
) -> None:
    Path("file").touch()
    answer = invoke("campaign", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_store_that_is_none_is_left_alone(invoke: Invoke) -> None:
    Path("c").mkdir()
    Path("c/store.sqlite").write_text("This is no database, but somebody wants to keep it.\n" * 9)
    answer = invoke("campaign", "run", "c", "hint", *SMALL)
    assert answer.code == 2
    assert "c/store.sqlite: damaged: file is not a database" in answer.err
    assert Path("c/store.sqlite").read_text().startswith("This is no database")


def test_a_folder_that_cannot_be_written_to(invoke: Invoke) -> None:
    answer = invoke("campaign", "run", "/proc/tdxfuzz", "hint", *SMALL)
    assert answer.code == 2
    assert "/proc/tdxfuzz: cannot be written to" in answer.err


def start(*options: str) -> subprocess.Popen[str]:
    run = ("-m", "tdxfuzz", "campaign", "run", "c", "hint", "merged", "--seed", "1")
    return subprocess.Popen(
        [sys.executable, *run, "--workers", "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(table: str) -> None:
    """Until the running campaign's store has a row there."""
    while True:
        time.sleep(0.1)
        try:
            store = Store(Path("c/store.sqlite"), read_only=True)
        except StoreError:
            continue
        rows = store.query(f"SELECT 1 FROM {table} LIMIT 1")
        store.close()
        if rows:
            return


@slow
def test_ctrl_c_finishes_what_is_being_done_and_reports(invoke: Invoke) -> None:
    first = start("--batch", "50", "--time", "1h")
    wait_for("hunts")
    busy = invoke("campaign", "run", "c", "hint", "merged", "--seed", 1, "--batch", 50)
    assert busy.code == 2
    assert f"c: a campaign is running here (process {first.pid}); stop it first" in busy.err
    os.killpg(first.pid, signal.SIGINT)
    out, err = first.communicate(timeout=120)
    assert "stopped: SIGINT: finishing the running tasks" in out
    # How far it came before the signal depends on the machine: the verdict may be any.
    assert first.returncode in (0, 1, 3)
    assert "Traceback" not in err
    assert Path("c/report.html").is_file()


@slow
def test_a_second_ctrl_c_stops_at_once(invoke: Invoke) -> None:
    running = start("--batch", "1000000000", "--time", "1h")
    # The first sample is taken once a worker is busy; before that one Ctrl-C ends it all.
    wait_for("samples")
    os.killpg(running.pid, signal.SIGINT)
    time.sleep(1)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, err.strip()) == (3, "tdxfuzz: interrupted")
    assert "stopped" not in out
    assert invoke("campaign", "status", "c").out.startswith("\n0 cases in ")


def test_a_design_that_raises_is_cut_off(invoke: Invoke) -> None:
    Path("mine.py").write_text(
        "from tdxfuzz.host import design\n\n\n"
        "class Mine(design.RefcountLayer):\n"
        "    def get(self, pfn, cache=None):\n        return 1 // 0\n\n"
        "    def put(self, pfn, hint=False):\n        pass\n"
    )
    answer = invoke("campaign", "run", "c", "mine.py:Mine", *SMALL)
    assert answer.code == 2
    assert "cut off Mine: design Mine raised ZeroDivisionError" in answer.out
    assert "stopped: no design is left to hunt" in answer.out
    (file,) = Path("c/errors").iterdir()
    assert f"Mine was cut off; this shows it:\n  {file}\n" in answer.out
    assert f"; reproducer: errors/{file.name}\n" in answer.out
    designs = invoke("campaign", "status", "c", "--format", "json").json["designs"]
    assert isinstance(designs, list)
    (row,) = designs
    assert row["reproducer"] == str(file)
    again = invoke("replay", file, "--design", "mine.py:Mine")
    assert again.code == 2
    assert "design Mine raised ZeroDivisionError" in again.out + again.err
    # A file that was lost is written again.
    text = file.read_text()
    file.unlink()
    assert invoke("campaign", "run", "c", "mine.py:Mine", *SMALL).code == 2
    assert file.read_text() == text


PRINTS = """
import json
import os
from tdxfuzz.host.designs.hint import Hint

class Mine(Hint):
    def get(self, pfn, cache=None):
        print("printed")
        os.write(1, b"printed\\n" * 100)
        os.write(2, b"printed\\n" * 100)
        return super().get(pfn, cache)
"""


@slow
def test_what_a_design_prints_goes_nowhere(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PRINTS)
    run = ("run", "c", "mine.py:Mine", "--cases", "160", "--batch", "80", "--seed", "6")
    for words in (run, ("report", "c", "--out", "reports")):
        done = subprocess.run(
            [sys.executable, "-m", "tdxfuzz", "campaign", *words, "--format", "json"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=100,
        )
        assert json.loads(done.stdout)
        assert b"printed" not in done.stderr
    names = {path.name for path in (tmp_path / "reports").iterdir()}
    assert names == {"report.html", "junit.xml", "report.sarif", "summary.md"}


def test_a_lock_file_that_was_deleted_lets_nobody_in(tmp_path: Path, invoke: Invoke) -> None:
    with Folder(tmp_path / "c").taken():
        (tmp_path / "c" / "coordinator").unlink()
        answer = invoke("campaign", "run", "c", "hint", *SMALL)
    assert answer.code == 2
    assert "c: a campaign is running here" in answer.err
    assert invoke("campaign", "merge", "c", tmp_path / "c").code == 0


@slow
def test_many_campaigns_have_a_page_that_leads_to_each(invoke: Invoke, tmp_path: Path) -> None:
    for name in ("a #1", "b"):
        run = invoke("campaign", "run", name, "hint", "merged", *SMALL)
        assert run.code == 1
    answer = invoke("campaign", "report", "a #1", "b", "--as", "html", "--index", "all.html")
    assert answer.code == 0
    assert answer.out.splitlines() == ["a #1/report.html", "b/report.html", "all.html"]
    text = Path("all.html").read_text("utf-8")
    assert "<h1>2 campaigns</h1>" in text
    links = set(re.findall(r'href="(?!data:)([^"]*)"', text))
    assert links == {"a%20%231/report.html", "b/report.html"}
    assert text.count("pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range") == 1
    refused = invoke("campaign", "report", "b", "--as", "junit", "--index", "all.html")
    assert refused.code == 2
    assert "--index links to the pages" in refused.err
