"""Recordings of the corpus, one trace at a time, to be tampered with in a copy."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tdxfuzz.targets.conform import Conformance, conform
from tdxfuzz.targets.recording import PARAMS_FILE, RecordingError

CORPUS = Path(__file__).parents[2] / "corpus" / "conformance"
PARAMS = CORPUS / PARAMS_FILE

Json = dict[str, Any]


def load(kind: str, trace_id: str) -> Json:
    """One trace of a file of the corpus."""
    with gzip.open(CORPUS / f"{kind}.jsonl.gz", "rt") as file:
        for line in file:
            if f'"id":"{trace_id}"' in line[:40]:
                trace: Json = json.loads(line)
                return trace
    raise LookupError(trace_id)


def save(folder: Path, *traces: object) -> Path:
    """Write traces to a file, with the TD_PARAMS pages beside it."""
    return save_bytes(folder, gzip.compress(text_of(*traces).encode()))


def text_of(*traces: object) -> str:
    """Traces as the lines of a file."""
    return "".join(json.dumps(trace) + "\n" for trace in traces)


def save_bytes(
    folder: Path, content: bytes, name: str = "some.jsonl.gz", params: Path = PARAMS
) -> Path:
    """Write a file as it is, with the TD_PARAMS pages beside it."""
    shutil.copy(params, folder / PARAMS_FILE)
    path = folder / name
    path.write_bytes(content)
    return path


def problem(path: Path) -> str:
    """What is wrong with a file that cannot be read, without its folder."""
    with pytest.raises(RecordingError) as caught:
        conform(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def divergence(result: Conformance) -> list[str]:
    """The lines of the first divergence."""
    assert result.first_divergence is not None
    return [line.strip() for line in result.first_divergence.splitlines()]
