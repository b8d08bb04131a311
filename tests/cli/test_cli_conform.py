"""``tdxfuzz conform``."""

from __future__ import annotations

import gzip
import shutil
from itertools import islice
from pathlib import Path

from commands import Invoke
from golden_files import ROOT, check_golden

RECORDINGS = ROOT / "corpus/conformance"


def test_conform_agrees_and_says_with_how_much(invoke: Invoke) -> None:
    answer = invoke("conform", RECORDINGS / "locks.jsonl.gz")
    assert answer.code == 0
    check_golden("conform.txt", answer.out)


def test_conform_json_has_the_keys_scripts_rely_on(invoke: Invoke) -> None:
    document = invoke("conform", RECORDINGS / "locks.jsonl.gz", "--format", "json").json
    rows = document["datasets"]
    assert isinstance(rows, list)
    assert {
        key: rows[0][key] for key in ("kind", "traces", "items", "agree", "first_divergence")
    } == {
        "kind": "locks",
        "traces": 115,
        "items": 115,
        "agree": 115,
        "first_divergence": None,
    }


def test_without_arguments_conform_reads_all_sets_each_with_its_own_td_params(
    invoke: Invoke,
) -> None:
    """The second set has pages that the first set's ``td_params.json`` does not have."""
    folder = Path("corpus/conformance")
    for name in ("", "second"):
        (folder / name).mkdir(parents=True)
        with gzip.open(RECORDINGS / name / "locks.jsonl.gz", "rb") as file:
            few = gzip.compress(b"".join(islice(file, 0, None, 20)))
        (folder / name / "locks.jsonl.gz").write_bytes(few)
        shutil.copy(RECORDINGS / name / "td_params.json", folder / name)
    answer = invoke("conform")
    assert answer.out.splitlines() == [
        "locks.jsonl.gz: locks, 6 traces: 6 of 6 agree",
        "second/locks.jsonl.gz: locks, 11 traces: 11 of 11 agree",
    ]
    assert answer.code == 0


def test_recordings_that_cannot_be_read_are_named(invoke: Invoke) -> None:
    shutil.copy(RECORDINGS / "td_params.json", "td_params.json")
    Path("bad.jsonl.gz").write_bytes(b"not gzip")
    answer = invoke("conform", "bad.jsonl.gz")
    assert answer.code == 2
    assert "bad.jsonl.gz" in answer.err
    assert answer.err.count("\n") == 1
