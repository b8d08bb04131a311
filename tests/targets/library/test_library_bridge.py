"""The Python model behind the ABI: what the runner passes on is what the model says itself."""

from __future__ import annotations

import sys

import pytest

from c_layers import needs_compiler
from target_libraries import SOURCES, build
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.targets.library.diff import Diff, Found
from tdxfuzz.targets.library.known import Known
from tdxfuzz.targets.library.process import Library

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def _server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_PYTHON", sys.executable)
    monkeypatch.setenv("BRIDGE_SERVER", str(SOURCES / "bridge_server.py"))
    monkeypatch.setenv("PYTHONPATH", str(SOURCES.parents[2]))


def test_the_model_behind_the_abi_agrees_with_itself_on_all_leaves() -> None:
    found: list[Found] = []
    with Library(build("bridge")) as library:
        assert library.caps.leaves == HANDLERS.keys()
        diff = Diff(library, Known(), 5)
        diff.run(25, None, found.append, lambda tally: None)
    assert found == []
    assert diff.tally.interleaved > 1
    assert diff.tally.events > 50
    assert len({leaf for leaf, _ in diff.tally.statuses}) > 30
