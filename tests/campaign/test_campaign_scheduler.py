"""A Dask scheduler of its own: with TLS, and one that dies in the middle."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.store_file import StoreError
from tiers import slow

pytest.importorskip("distributed")

pytestmark = slow

RUN = ("campaign", "run", "c", "hint", "merged", "--batch", "80", "--seed", "6")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(folder: Path, module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE if module == "tdxfuzz" else subprocess.DEVNULL,
        stderr=subprocess.PIPE if module == "tdxfuzz" else subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def cluster(
    folder: Path, port: int, protocol: str, tls: tuple[str, ...] = ()
) -> Iterator[list[subprocess.Popen[str]]]:
    """A scheduler and a worker, as processes."""
    processes = [
        start(
            folder,
            "distributed.cli.dask_scheduler",
            *("--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
            *("--protocol", protocol, *tls),
        ),
        start(
            folder,
            "distributed.cli.dask_worker",
            *(f"{protocol}://127.0.0.1:{port}", "--nworkers", "1", "--nthreads", "1"),
            *("--no-dashboard", "--local-directory", str(folder / "dask"), *tls),
        ),
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[str, ...]:
    """The options for a certificate that signs itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    make = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2")
    files = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run([openssl, *make, *files], cwd=tmp_path, check=True, capture_output=True)
    return ("--tls-ca-file", "cert.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem")


def test_a_campaign_over_tls(tmp_path: Path, tls: tuple[str, ...]) -> None:
    port = free_port()
    scheduler = ("--scheduler", f"tls://127.0.0.1:{port}", "--cases", "160")
    with cluster(tmp_path, port, "tls", tls):
        time.sleep(3)
        # Who has no certificate gets nowhere.
        stranger = start(tmp_path, "tdxfuzz", *RUN, *scheduler)
        _, err = stranger.communicate(timeout=100)
        assert (stranger.returncode, len(err.splitlines())) == (2, 1)
        assert f"tdxfuzz: --scheduler tls://127.0.0.1:{port}: " in err
        done = start(tmp_path, "tdxfuzz", *RUN, *scheduler, *tls)
        out, err = done.communicate(timeout=100)
    assert "160 cases done" in out, err
    assert done.returncode in (0, 1, 3)


def cases_in(folder: Path) -> int:
    try:
        store = Store(Folder(folder / "c").store, read_only=True)
    except StoreError:
        return 0
    cases = store.totals().cases
    store.close()
    return cases


def test_a_scheduler_that_dies_is_told_and_the_campaign_goes_on_later(tmp_path: Path) -> None:
    port = free_port()
    scheduler = ("--scheduler", f"tcp://127.0.0.1:{port}")
    with cluster(tmp_path, port, "tcp") as (boss, _):
        running = start(tmp_path, "tdxfuzz", *RUN, *scheduler, "--time", "1h")
        while not cases_in(tmp_path):
            assert running.poll() is None
            time.sleep(0.5)
        boss.kill()
        out, err = running.communicate(timeout=100)
    assert running.returncode == 2
    told = [line for line in err.splitlines() if " features, " not in line]
    (line,) = told
    gone = f"tdxfuzz: the scheduler at tcp://127.0.0.1:{port} is gone; what was counted is kept. "
    assert line == f"{gone}Start it and its workers again, then the same command continues"
    assert "cut off" not in out
    assert (tmp_path / "c" / "summary.md").is_file()
    cases = cases_in(tmp_path)
    with cluster(tmp_path, port, "tcp"):
        again = start(tmp_path, "tdxfuzz", *RUN, *scheduler, "--cases", str(cases + 80))
        out, err = again.communicate(timeout=100)
    assert "continuing the campaign" in out, err
    assert f"stopped: {cases + 80:,} cases done" in out


def test_a_scheduler_that_is_started_again_soon_gets_the_tasks_again(tmp_path: Path) -> None:
    port = free_port()
    with cluster(tmp_path, port, "tcp"):
        scheduler = ("--scheduler", f"tcp://127.0.0.1:{port}")
        running = start(tmp_path, "tdxfuzz", *RUN, *scheduler, "--time", "1h")
        while not cases_in(tmp_path):
            assert running.poll() is None
            time.sleep(0.5)
    before = cases_in(tmp_path)
    with cluster(tmp_path, port, "tcp"):
        while cases_in(tmp_path) < before + 160:
            assert running.poll() is None
            time.sleep(0.5)
        running.terminate()
        out, err = running.communicate(timeout=100)
    assert running.returncode in (0, 1, 3), err
    assert "stopped: SIGTERM: finishing the running tasks" in out
    assert "cut off" not in out
