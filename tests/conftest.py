"""Commands are run in the test's process, as their entry point runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Answer, Invoke
from tdxfuzz.cli import main


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Invoke:
    """Call as ``invoke("hunt", "hint")``; the current folder is an empty one."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["tdxfuzz", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Answer(stop.value.code, out, err)

    return call
