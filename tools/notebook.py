"""What was observed, kept in a file between the test run that saw it and the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import asdict, define, field

from tdxfuzz.abi import DEAD
from tools.observe import Observation, Taken, observing

VARIABLE = "TDXFUZZ_OBSERVED"
"""Environment variable: where a test run is to leave its notebook."""


@define
class Notebook:
    """Observations, and which statuses each leaf was seen to give."""

    observations: set[Observation] = field(factory=set)
    seen: set[tuple[str, str]] = field(factory=set)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what happens while this is open."""
        with observing(self.observations.add, self._note):
            yield

    def _note(self, leaf: str, status: str) -> None:
        if status != DEAD.name:
            self.seen.add((leaf, status))

    def write(self, path: Path) -> None:
        """To a JSON file."""
        document = {
            "observations": [asdict(item) for item in sorted(self.observations)],
            "seen": sorted(self.seen),
        }
        path.write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Notebook:
        """From a file that :meth:`write` made."""
        document = json.loads(path.read_text(encoding="utf-8"))
        observations = {
            Observation(
                leaf=item["leaf"],
                status=item["status"],
                taken=tuple(Taken(**taken) for taken in item["taken"]),
                released=tuple(item["released"]),
            )
            for item in document["observations"]
        }
        return cls(observations, {(leaf, status) for leaf, status in document["seen"]})
