"""What can be wrong with a campaign's folder, told to the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tdxfuzz.campaign.folder import FolderError
from tdxfuzz.campaign.store_file import StoreError
from tdxfuzz.campaign.workers import WorkersGoneError
from tdxfuzz.cli.errors import UsageProblem


@contextmanager
def campaign_problems() -> Iterator[None]:
    """In the block, what is wrong with a folder, a store or all workers is wrong usage.

    Raises:
        UsageProblem: it is.
    """
    try:
        yield
    except (FolderError, StoreError, WorkersGoneError) as error:
        raise UsageProblem(str(error)) from None
