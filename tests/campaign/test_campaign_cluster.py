"""A campaign on a real cluster of processes, one of which is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve

from campaigns import SMALL, Campaign
from tdxfuzz.campaign.cluster import ClusterWorkers
from tdxfuzz.campaign.coordinator import Limits
from tdxfuzz.campaign.events import FindingShrunk, Stopped, WorkerLost
from tdxfuzz.campaign.task import Task
from tdxfuzz.campaign.workers import FinishedTask
from tiers import long, slow

distributed = pytest.importorskip("distributed")

TASKS = 12
LIMITS = Limits(cases=TASKS * SMALL.batch)


processes = partial(
    distributed.LocalCluster,
    threads_per_worker=1,
    processes=True,
    dashboard_address=None,
    silence_logs=50,
)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with processes(n_workers=2, local_directory=str(tmp_path)) as cluster:
        yield cluster.scheduler_address


pytestmark = [pytest.mark.filterwarnings("default"), slow]


def counted(campaign: Campaign) -> list[tuple[object, ...]]:
    with campaign.store() as store:
        return store.query("SELECT number, design, cases FROM hunts ORDER BY number")


def test_a_campaign_on_a_cluster(tmp_path: Path, scheduler: str) -> None:
    campaign = Campaign(tmp_path / "c")
    team = ClusterWorkers(distributed.Client(scheduler), campaign.settings, 300)
    assert team.size() == 2
    campaign.run(LIMITS, team)
    assert team.rss() > 0
    team.close()
    rows = counted(campaign)
    # What was under way when the last case was counted is counted as well.
    assert len(rows) >= TASKS
    assert len({row[0] for row in rows}) == len(rows)
    (shrunk,) = campaign.told(FindingShrunk)
    assert (shrunk.operations, shrunk.preemptions, shrunk.reliable) == (2, 1, 10)


def test_a_worker_that_joins_later_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(tmp_path / "c")
    with processes(n_workers=0, local_directory=str(tmp_path)) as cluster:
        team = ClusterWorkers(distributed.Client(cluster.scheduler_address), SMALL, 300)
        sizes: list[int] = []
        plain = team.wait

        def wait(seconds: float) -> Sequence[FinishedTask]:
            """One joins when nobody is there, another when the first has done something."""
            sizes.append(team.size())
            if len(sizes) == 1 or (len(cluster.workers) == 1 and counted(campaign)):
                cluster.scale(len(cluster.workers) + 1)
            return plain(seconds)

        monkeypatch.setattr(team, "wait", wait)
        campaign.run(LIMITS, team)
        team.close()
    assert sizes[0] == 0
    assert 1 in sizes
    assert sizes[-1] == 2
    assert len(counted(campaign)) >= TASKS


def test_a_killed_worker_costs_nothing(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = Campaign(tmp_path / "c")
    client = distributed.Client(scheduler)
    pids = client.run(os.getpid)
    team = ClusterWorkers(client, campaign.settings, 300)
    submitted = 0
    plain = team.submit

    def submit(task: Task) -> None:
        nonlocal submitted
        submitted += 1
        if submitted == 5:
            os.kill(next(iter(pids.values())), signal.SIGKILL)
        plain(task)

    monkeypatch.setattr(team, "submit", submit)
    campaign.run(LIMITS, team)
    alive = client.run(os.getpid)
    team.close()
    rows = counted(campaign)
    numbers = [row[0] for row in rows]
    assert len(numbers) == len(set(numbers)) >= TASKS
    assert set(range(TASKS - 4)) <= {int(str(number)) for number in numbers}
    assert all(row[2] == SMALL.batch for row in rows)
    assert set(alive.values()) != set(pids.values())
    assert campaign.told(Stopped)


@long
def test_a_task_that_hangs_is_given_up_and_its_worker_restarted(
    tmp_path: Path, scheduler: str
) -> None:
    client = distributed.Client(scheduler)
    pids = client.run(os.getpid)
    settings = evolve(SMALL, subjects=SMALL.subjects[1:], batch=10**9)
    campaign = Campaign(tmp_path / "c", settings)
    team = ClusterWorkers(client, settings, patience=3)
    campaign.run(Limits(cases=1), team)
    assert "no answer within 3 s" in {lost.why for lost in campaign.told(WorkerLost)}
    client = distributed.Client(scheduler)
    assert set(client.run(os.getpid).values()).isdisjoint(pids.values())
    client.close()
