"""For all tests: commands run in the test's process, and a note of what is in which tier."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from commands import Answer, Invoke
from tdxfuzz.cli import ctrl_c
from tdxfuzz.cli.main import main
from tiers import COLLECTED


def pytest_configure() -> None:
    """Shells make what they start in the background deaf to Ctrl-C; its tests need it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note each test before a tier is selected."""
    config.stash[COLLECTED] = {item.nodeid: _tier(item) for item in items}


def _tier(item: pytest.Item) -> str:
    marks = (name for name in ("long", "slow") if item.get_closest_marker(name))
    return next(marks, "quick")


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Invoke:
    """Call as ``invoke("hunt", "hint")``; the current folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ctrl_c, "_heard_at", float("-inf"))

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["tdxfuzz", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Answer(stop.value.code, out, err)

    return call
