"""The model does what the real module did, in every recording there is."""

from __future__ import annotations

import gzip
from collections import Counter

import pytest

from tdxfuzz.targets.conform import conform
from tdxfuzz.targets.recording import find_datasets

from .recordings import CORPUS


@pytest.mark.parametrize(
    ("kind", "traces", "items"),
    [
        ("sequential", 400, 33_677),
        ("locks", 115, 115),
        ("contention", 30, 30),
        ("interleaved", 300, 97_734),
    ],
)
def test_the_model_agrees_with_every_recording(kind: str, traces: int, items: int) -> None:
    result = conform(CORPUS / f"{kind}.jsonl.gz")
    assert result.first_divergence is None
    assert (result.kind, result.traces) == (kind, traces)
    assert (result.agree, result.items) == (items, items)
    assert (result.cut, result.not_modelled) == (0, frozenset())
    assert sum(n for n, _ in result.by_group.values()) == items


def test_the_corpus_has_one_file_of_each_kind() -> None:
    names = [path.name.removesuffix(".jsonl.gz") for path in find_datasets([CORPUS])]
    assert names == ["contention", "interleaved", "locks", "sequential"]


@pytest.mark.parametrize("kind", ["contention", "interleaved", "locks", "sequential"])
def test_no_trace_occurs_twice(kind: str) -> None:
    with gzip.open(CORPUS / f"{kind}.jsonl.gz", "rt") as file:
        ids = Counter(line[:40].split('"')[3] for line in file)
    assert ids.most_common(1)[0][1] == 1
