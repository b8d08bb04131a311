from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.notebook import VARIABLE, Notebook

from .lab import Lab, Stage, Td


@pytest.fixture(scope="session", autouse=True)
def notebook() -> Iterator[None]:
    """Notes which locks and statuses the tests meet, for ``python -m tools``."""
    path = os.environ.get(VARIABLE)
    if path is None:
        yield
        return
    noted = Notebook()
    with noted.listening():
        yield
    noted.write(Path(path))


@pytest.fixture
def lab() -> Lab:
    """A module with nothing in it."""
    return Lab()


@pytest.fixture
def td(lab: Lab) -> Td:
    """An initialised TD, which can be given pages but does not run yet."""
    return lab.td(Stage.INIT)
