"""A campaign with its reports, for the tests of both."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from campaigns import SMALL, Campaign
from tdxfuzz.campaign.coordinator import Limits
from tdxfuzz.campaign.report import write_reports
from tdxfuzz.campaign.report.data import Data, gather
from tdxfuzz.campaign.settings import Subject
from tdxfuzz.campaign.store import CutOff

SUBJECTS = tuple(map(Subject, ("hint", "v3-base", "merged", "hostile")))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign with its reports."""
    settings = evolve(SMALL, subjects=SUBJECTS)
    campaign = Campaign(tmp_path_factory.mktemp("reports") / "c", settings)
    campaign.run(Limits(cases=8 * SMALL.batch))
    with campaign.store() as store:
        with store.transaction():
            why = "3 times in one place: <script>alert(1)</script> & more"
            store.cut_off(CutOff("merged", why))
            totals = store.totals()
            for second in range(3):
                store.sample(
                    evolve(totals, seconds=1000.0 + second, cases=second * 500), 2, 1 << 27
                )
        write_reports(campaign.folder, store)
    return campaign.folder.root


@pytest.fixture(scope="session")
def data(folder: Path) -> Data:
    campaign = Campaign(folder, evolve(SMALL, subjects=SUBJECTS))
    with campaign.store() as store:
        return gather(campaign.folder, store)
