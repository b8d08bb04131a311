"""The Python model behind the ABI: what the runner passes on is what the model says itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import pytest

from c_layers import needs_compiler
from commands import Invoke
from target_libraries import SOURCES, build
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.targets.library.diff import Diff, Found
from tdxfuzz.targets.library.files import read
from tdxfuzz.targets.library.known import Known
from tdxfuzz.targets.library.process import Library
from tiers import slow

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
    assert diff.tally.told > 20
    assert diff.tally.interleaved > 1
    assert diff.tally.events > 50
    assert len({leaf for leaf, _ in diff.tally.statuses}) > 30


@slow
def test_what_a_guest_is_told_is_compared(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    """And its file says the same on the model, and on a library."""
    monkeypatch.setenv("BRIDGE_ERROR", "guest")
    library = build("bridge")
    answer = invoke(
        "diff", "--library", library, "--cases", "60", "--seed", "5", "--format", "json"
    )
    assert answer.code == 1
    (row,) = cast("list[dict[str, object]]", answer.json["divergences"])
    assert (row["leaf"], row["field"]) == ("TDH.VP.ENTER", "guest")
    assert row["model"] == "0x0 SUCCESS"
    assert row["library"] == "0x0 SUCCESS r8=0x1"
    trial = read(Path(str(row["reproducer"]))).trial
    last = trial.calls[-1].guest
    assert last is not None
    assert "TDG.MEM.PAGE.ACCEPT(" in "; ".join(map(str, last.operations))
    for path, code in ((None, 1), (library, 1)):
        options = [] if path is None else ["--library", path]
        assert invoke("replay", row["reproducer"], *options).code == code
    monkeypatch.delenv("BRIDGE_ERROR")
    assert invoke("replay", row["reproducer"], "--library", library).code == 0


@slow
def test_time_stamp_counters_move_and_an_lp_whose_counter_never_goes_back_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BRIDGE_ERROR", "tsc")
    found: list[Found] = []
    with Library(build("bridge")) as library:
        diff = Diff(library, Known(), 5)
        while not found and diff.tally.trials < 400:
            diff.run(20, None, found.append, lambda tally: None)
    assert found[0].divergence.leaf == "TDH.VP.ENTER"
    assert any(call.tsc is not None for call in found[0].trial.calls)


@slow
def test_recorded_guests_are_the_models(invoke: Invoke) -> None:
    arguments = ("--library", build("bridge"), "--cases", "40", "--seed", "5")
    assert invoke("record", *arguments, "--out", "some.jsonl").code == 0
    assert '"op": "tdcall"' in Path("some.jsonl").read_text()
    assert invoke("conform", "some.jsonl").code == 0
