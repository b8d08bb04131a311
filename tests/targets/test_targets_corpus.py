"""The model does what the real module did, in every recording there is."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tdxfuzz.targets.conform import conform
from tdxfuzz.targets.recording import PARAMS_FILE, find_datasets
from tiers import slow

from .recordings import CORPUS, save_bytes

RECORDINGS = {
    "contention": ("contention", 30, 30),
    "interleaved": ("interleaved", 300, 97_734),
    "locks": ("locks", 115, 115),
    "sequential": ("sequential", 400, 33_677),
    "second/interleaved": ("interleaved", 285, 42_741),
    "second/locks": ("locks", 218, 218),
    "second/sequential": ("sequential", 250, 21_977),
    "third/boot": ("sequential", 73, 2_852),
    "third/boot_interleaved": ("interleaved", 20, 311),
    "third/contention": ("contention", 26, 26),
    "third/guest": ("sequential", 75, 7_169),
    "third/guest_interleaved": ("interleaved", 58, 6_789),
}
"""Each file's kind, and how many traces and compared items it has."""

EVERY = 10
"""The quick tier takes the last trace of so many."""

each = pytest.mark.parametrize("name", RECORDINGS)


def file_of(name: str) -> Path:
    return CORPUS / f"{name}.jsonl.gz"


@slow
@each
def test_the_model_agrees_with_every_recording(name: str) -> None:
    kind, traces, items = RECORDINGS[name]
    result = conform(file_of(name))
    assert result.first_divergence is None
    assert (result.kind, result.traces) == (kind, traces)
    assert (result.agree, result.items) == (items, items)
    assert (result.cut, result.not_modelled) == (0, frozenset())
    assert sum(n for n, _ in result.by_group.values()) == items


@each
def test_the_model_agrees_with_a_sample_of_every_recording(name: str, tmp_path: Path) -> None:
    kind, traces, _ = RECORDINGS[name]
    with gzip.open(file_of(name), "rb") as file:
        sample = b"".join(islice(file, EVERY - 1, None, EVERY))
    params = file_of(name).with_name(PARAMS_FILE)
    result = conform(save_bytes(tmp_path, gzip.compress(sample), params=params))
    assert result.first_divergence is None
    assert (result.kind, result.traces) == (kind, traces // EVERY)
    assert result.agree == result.items >= result.traces
    assert (result.cut, result.not_modelled) == (0, frozenset())


def test_each_file_of_the_corpus_is_held_against_the_model() -> None:
    found = [str(path.relative_to(CORPUS)) for path in find_datasets([CORPUS])]
    assert found == [f"{name}.jsonl.gz" for name in RECORDINGS]


@each
def test_no_trace_occurs_twice(name: str) -> None:
    with gzip.open(file_of(name), "rt") as file:
        ids = Counter(line[:40].split('"')[3] for line in file)
    assert ids.most_common(1)[0][1] == 1
