"""``tdxfuzz conform``."""

from __future__ import annotations

import gzip
import shutil
from itertools import islice
from pathlib import Path

from commands import Invoke
from golden_files import ROOT, check_golden
from tdxfuzz.targets.recording import IN_PACKAGE
from tiers import slow

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


@slow
def test_outside_of_a_clone_conform_takes_the_small_set_of_the_package(invoke: Invoke) -> None:
    answer = invoke("conform")
    assert answer.code == 0
    first, *others = [line for line in answer.out.splitlines() if not line.startswith(" ")]
    assert first == "corpus/conformance is not here: a small set that comes with tdxfuzz"
    kinds = [line.split(": ")[1].split(",")[0] for line in others]
    assert kinds == ["contention", "interleaved", "locks", "sequential"]


def test_the_small_set_is_a_part_of_the_corpus() -> None:
    """So a recording that is replaced there is replaced here as well."""
    files = {path.name for path in IN_PACKAGE.iterdir()}
    assert len(files) == 5
    for name in files - {"td_params.json"}:
        few, all_ = (
            gzip.decompress((folder / name).read_bytes()).splitlines()
            for folder in (IN_PACKAGE, RECORDINGS)
        )
        assert few
        assert set(few) <= set(all_)
    params = [(folder / "td_params.json").read_bytes() for folder in (IN_PACKAGE, RECORDINGS)]
    assert params[0] == params[1]


def test_recordings_that_cannot_be_read_are_named(invoke: Invoke) -> None:
    shutil.copy(RECORDINGS / "td_params.json", "td_params.json")
    Path("bad.jsonl.gz").write_bytes(b"not gzip")
    answer = invoke("conform", "bad.jsonl.gz")
    assert answer.code == 2
    assert "bad.jsonl.gz" in answer.err
    assert answer.err.count("\n") == 1
