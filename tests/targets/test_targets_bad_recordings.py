"""A file that is no recording is refused, with its name, the line and what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tdxfuzz.targets.conform import conform
from tdxfuzz.targets.recording import RecordingError, find_datasets

from .recordings import load, problem, save, save_bytes, text_of


def test_a_file_that_is_not_packed(tmp_path: Path) -> None:
    path = save_bytes(tmp_path, text_of(load("locks", "L016")).encode())
    assert problem(path) == ("some.jsonl.gz: cannot be read: Not a gzipped file (b'{\"')")


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    packed = gzip.compress(text_of(load("locks", "L016")).encode())
    assert "cannot be read: Compressed file ended before" in problem(
        save_bytes(tmp_path, packed[: len(packed) // 2])
    )


def test_a_file_whose_last_bytes_are_missing(tmp_path: Path) -> None:
    """All lines are there and agree; the check sum behind them is not."""
    packed = gzip.compress(text_of(load("locks", "L016")).encode())
    assert "cannot be read: Compressed file ended before" in problem(
        save_bytes(tmp_path, packed[:-4])
    )


def test_a_file_with_a_wrong_check_sum(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(text_of(load("locks", "L016")).encode()))
    packed[-6] ^= 0xFF
    assert "cannot be read: CRC check failed" in problem(save_bytes(tmp_path, bytes(packed)))


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    assert "cannot be read: not UTF-8 text" in problem(
        save_bytes(tmp_path, gzip.compress(b"\xff\xfe\xfd"))
    )


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert problem(save(tmp_path)) == "some.jsonl.gz: the file is empty"
    packed = gzip.compress(b"\n  \n")
    assert problem(save_bytes(tmp_path, packed)) == "some.jsonl.gz: the file is empty"


def test_an_unpacked_file_is_read_as_well(tmp_path: Path) -> None:
    text = text_of(load("locks", "L016"))
    assert conform(save_bytes(tmp_path, text.encode(), "some.jsonl")).agree == 1


def test_a_line_that_is_not_json(tmp_path: Path) -> None:
    text = text_of(load("locks", "L016")) + "\n{oops\n"
    assert problem(save_bytes(tmp_path, gzip.compress(text.encode()))).startswith(
        "some.jsonl.gz:3: not JSON: Expecting property name"
    )


@pytest.mark.parametrize("line", [[], 7, "text", None])
def test_a_line_that_is_no_object(tmp_path: Path, line: object) -> None:
    wanted = f"some.jsonl.gz:1: not a recording: must be an object, not {line!r}"
    assert problem(save(tmp_path, line)) == wanted


def test_an_object_that_is_no_recording(tmp_path: Path) -> None:
    assert problem(save(tmp_path, {"id": "X"})) == (
        "some.jsonl.gz:1: not a recording: it needs one of the fields "
        "calls, events, outcomes, programs"
    )


def test_two_kinds_in_one_file(tmp_path: Path) -> None:
    path = save(tmp_path, load("locks", "L016"), load("sequential", "S0239"))
    assert problem(path) == "some.jsonl.gz:2: one file must have one kind, not locks, sequential"


FIELDS = [
    ("sequential", "S0239", ["id", "config", "final"]),
    ("locks", "L016", ["id", "name", "config", "setup", "call", "final"]),
    ("contention", "P61", ["id", "config", "setup", "A", "B", "alone", "interleavings"]),
    ("interleaved", "I0053", ["id", "config", "setup", "order", "placement", "final"]),
]


@pytest.mark.parametrize(
    ("kind", "trace_id", "field"), [(kind, i, f) for kind, i, fields in FIELDS for f in fields]
)
def test_a_missing_field_is_named(tmp_path: Path, kind: str, trace_id: str, field: str) -> None:
    good, bad = load(kind, trace_id), load(kind, trace_id)
    del bad[field]
    assert problem(save(tmp_path, good, bad)) == f"some.jsonl.gz:2: field '{field}' is missing"


@pytest.mark.parametrize("field", ["leaf", "name", "version", "in", "out"])
def test_a_missing_field_of_a_call_is_named(tmp_path: Path, field: str) -> None:
    case = load("locks", "L016")
    del case["call"][field]
    assert problem(save(tmp_path, case)) == f"some.jsonl.gz:1: field '{field}' is missing"


UNKNOWN = {"leaf": 26, "name": "VP_RD"}
"""A leaf of the real module that the model does not have."""


def test_a_trace_is_cut_at_a_leaf_not_modelled(tmp_path: Path) -> None:
    trace = load("sequential", "S0239")
    trace["calls"][3] |= UNKNOWN
    result = conform(save(tmp_path, trace, load("sequential", "S0342")))
    assert (result.cut, result.not_modelled) == (1, frozenset({"TDH.VP.RD"}))
    rest = len(load("sequential", "S0342")["calls"])
    assert (result.agree, result.items) == (3 + rest, 3 + rest)
    assert result.first_divergence is None


def test_a_lock_case_of_a_leaf_not_modelled_is_no_item(tmp_path: Path) -> None:
    case = load("locks", "L016")
    case["call"] |= UNKNOWN
    result = conform(save(tmp_path, case))
    assert (result.cut, result.items, result.first_divergence) == (1, 0, None)
    assert result.not_modelled == frozenset({"TDH.VP.RD"})


def test_a_pair_and_a_run_with_a_leaf_not_modelled_are_no_items(tmp_path: Path) -> None:
    pair, run = load("contention", "P61"), load("interleaved", "I0053")
    pair["B"] |= UNKNOWN
    run["programs"][1]["calls"][0] |= UNKNOWN
    for trace in (pair, run):
        result = conform(save(tmp_path, trace))
        assert (result.cut, result.items, result.first_divergence) == (1, 0, None)


def test_without_td_params_beside_it_no_recording_can_be_read(tmp_path: Path) -> None:
    path = save(tmp_path, load("locks", "L016"))
    (tmp_path / "td_params.json").unlink()
    assert problem(path) == "td_params.json: cannot be read: No such file or directory"


@pytest.mark.parametrize("content", ["{", '{"P4": {}}', '{"P4": {"hex": "zz"}}'])
def test_td_params_that_are_none(tmp_path: Path, content: str) -> None:
    path = save(tmp_path, load("locks", "L016"))
    (tmp_path / "td_params.json").write_text(content)
    assert problem(path).startswith(("td_params.json: not TD_PARAMS", "td_params.json: cannot be"))


def test_a_td_params_page_that_is_not_there(tmp_path: Path) -> None:
    case = load("locks", "L016")
    case["config"]["memory"] = [["0x1000000", "P9"]]
    assert problem(save(tmp_path, case)) == "some.jsonl.gz:1: field 'P9' is missing"


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nowhere: no such file or folder"):
        find_datasets([tmp_path / "nowhere"])
    with pytest.raises(RecordingError, match=r"no recordings \(\*\.jsonl\.gz\) in this folder"):
        find_datasets([tmp_path])


def test_a_folder_stands_for_the_recordings_in_it_and_below_it(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "another"):
        folder.mkdir(exist_ok=True)
        for name in ("b.jsonl", "a.jsonl.gz", "README.md", "td_params.json"):
            (folder / name).write_text(json.dumps({}))
    found = [str(path.relative_to(tmp_path)) for path in find_datasets([tmp_path])]
    assert found == ["a.jsonl.gz", "b.jsonl", "another/a.jsonl.gz", "another/b.jsonl"]
    assert find_datasets([tmp_path / "README.md"]) == [tmp_path / "README.md"]
