"""Campaigns in tests: workers that do a task where they are told, and a campaign begun."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from tdxfuzz.campaign.coordinator import Coordinator, Limits
from tdxfuzz.campaign.events import Event
from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.settings import Settings, Subject
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.task import Answer, Task, answer_of, task_of, to_text
from tdxfuzz.campaign.work import TaskRunner
from tdxfuzz.campaign.workers import FinishedTask, Workers

SMALL = Settings((Subject("hint"), Subject("merged")), seed=6, batch=80)


E = TypeVar("E")


class InlineWorkers:
    """One worker in this process; tasks and answers go through JSON as on the way."""

    def __init__(
        self, settings: Settings, spoil: Callable[[Task], Answer | str | None] | None = None
    ) -> None:
        self._runner = TaskRunner(settings)
        self._spoil = spoil
        self._finished: list[FinishedTask] = []
        self.asked: list[Task] = []

    def free(self) -> int:
        return 0 if self._finished else 1

    def size(self) -> int:
        return 1

    def submit(self, task: Task) -> None:
        self.asked.append(task)
        instead = None if self._spoil is None else self._spoil(task)
        if isinstance(instead, str):
            self._finished.append(FinishedTask(task, None, instead))
            return
        answer = instead or self._runner.do(task_of(to_text(task)))
        self._finished.append(FinishedTask(task, answer_of(to_text(answer))))

    def wait(self, seconds: float) -> Sequence[FinishedTask]:
        finished, self._finished = self._finished, []
        return finished

    def rss(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing."""


class Campaign:
    """A campaign in a folder, with all events it told."""

    def __init__(self, root: Path, settings: Settings = SMALL) -> None:
        self.folder = Folder(root)
        root.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.events: list[Event] = []
        with self.store() as store:
            if store.settings() is None:
                store.set_meta("settings", settings.text())

    def store(self) -> closing[Store]:
        """The store, to be used in a ``with``."""
        return closing(Store(self.folder.store))

    def run(self, limits: Limits, workers: Workers | None = None) -> str:
        """Run until the limits say stop; why it stopped."""
        with self.store() as store:
            team = workers or InlineWorkers(self.settings)
            coordinator = Coordinator(
                self.folder, store, self.settings, team, limits, (self.events.append,)
            )
            return coordinator.run()

    def told(self, kind: type[E]) -> list[E]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]
