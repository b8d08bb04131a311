from __future__ import annotations

import pytest

from .lab import Lab, Stage, Td


@pytest.fixture
def lab() -> Lab:
    """A module with nothing in it."""
    return Lab()


@pytest.fixture
def td(lab: Lab) -> Td:
    """An initialised TD, which can be given pages but does not run yet."""
    return lab.td(Stage.INIT)
