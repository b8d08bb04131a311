"""What a command printed, when a test ran it in its own process."""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import frozen


@frozen
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


Invoke = Callable[..., Answer]
