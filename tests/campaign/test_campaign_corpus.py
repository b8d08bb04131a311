"""The corpus: files that may come from anywhere, and may be anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from campaigns import SMALL, Campaign, InlineWorkers
from tdxfuzz.campaign.coordinator import Limits
from tdxfuzz.campaign.corpus import Corpus, MinimiseResult, minimise
from tdxfuzz.campaign.events import CorpusMerged, EntrySetAside, WorkerLost
from tdxfuzz.campaign.folder import entry_name, finding_name
from tdxfuzz.campaign.task import ATTEMPTS, MeasureTask, Task
from tdxfuzz.campaign.work import features_in
from tdxfuzz.repro.read import parse_case, read_text
from tdxfuzz.repro.reproducer import SUFFIX
from tiers import slow

CASES = 4 * SMALL.batch


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign that has run."""
    campaign = Campaign(tmp_path_factory.mktemp("campaign") / "c")
    campaign.run(Limits(cases=CASES))
    return campaign.folder.root


@pytest.fixture
def campaign(begun: Path, tmp_path: Path) -> Campaign:
    """A copy of it, to be contended."""
    shutil.copytree(begun, tmp_path / "c")
    return Campaign(tmp_path / "c")


def reached(campaign: Campaign) -> set[tuple[str, int]]:
    cases = [parse_case(read_text(path)) for path in campaign.folder.entries()]
    return {(case.design, feature) for case in cases for feature in features_in(case, None)}


def test_the_corpus_reaches_what_the_store_says(campaign: Campaign) -> None:
    with campaign.store() as store:
        features = {
            (str(d), int(str(f))) for d, f in store.query("SELECT design, feature FROM features")
        }
        assert store.entry_names() == [path.name for path in campaign.folder.entries()]
    assert reached(campaign) == features


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a file of this kind has format = 1"),
        (b"format = 1\nmodel =", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"x" * (2 << 20), "larger than 1048576 bytes"),
        (b"changed", "not valid TOML"),
    ],
    ids=["empty", "half", "bytes", "large", "other"],
)
def test_a_spoilt_entry_is_set_aside_and_named(
    campaign: Campaign, content: bytes, why: str
) -> None:
    path = campaign.folder.entries()[0]
    path.write_bytes(content)
    campaign.run(Limits(cases=CASES))
    (aside,) = campaign.told(EntrySetAside)
    assert aside.path == str(campaign.folder.set_aside / path.name)
    assert why in aside.why
    assert str(path) in aside.why
    assert Path(aside.path).read_bytes() == content
    with campaign.store() as store:
        assert path.name not in store.entry_names()


@slow
def test_what_a_deleted_file_reached_is_sought_again(campaign: Campaign) -> None:
    everything = reached(campaign)
    before = [path.name for path in campaign.folder.entries()]
    for path in campaign.folder.entries()[::2]:
        path.unlink()
    campaign.run(Limits(cases=CASES))
    with campaign.store() as store:
        rows = store.query("SELECT design, feature FROM features")
        features = {(str(design), int(str(feature))) for design, feature in rows}
        cases = store.totals().cases
    assert features <= reached(campaign)
    assert features < everything
    campaign.run(Limits(cases=cases + 4 * SMALL.batch))
    assert len(reached(campaign)) > len(features)
    assert len(campaign.folder.entries()) > len(before[1::2])


def test_an_entry_that_says_something_else_by_now_is_set_aside(campaign: Campaign) -> None:
    first, second = campaign.folder.entries()[:2]
    first.write_text(second.read_text("utf-8"), "utf-8")
    campaign.run(Limits(cases=CASES))
    (aside,) = campaign.told(EntrySetAside)
    assert "changed after it was written" in aside.why


def test_an_entry_spoilt_while_it_runs_is_set_aside(campaign: Campaign) -> None:
    with campaign.store() as store:
        corpus = Corpus(campaign.folder, store, campaign.settings, campaign.events.append)
        corpus.take_up()
        names = store.entry_names("hint")
        contended, gone = campaign.folder.corpus / names[0], campaign.folder.corpus / names[1]
        contended.write_text("?")
        gone.unlink()
        texts = corpus.parents("hint", len(names), Random(1))
        assert len(texts) == len(names) - 2
        assert store.entry_names("hint") == names[2:]
    (aside,) = campaign.told(EntrySetAside)
    assert Path(aside.path).name == contended.name


@slow
def test_files_from_elsewhere_are_merged(campaign: Campaign, tmp_path: Path) -> None:
    other = Campaign(tmp_path / "other")
    (other.folder.corpus).mkdir()
    texts = [path.read_text("utf-8") for path in campaign.folder.entries()]
    for i, text in enumerate(texts):
        (other.folder.corpus / f"any-name-{i}.tdx.toml").write_text(text, "utf-8")
    other.run(Limits(cases=1))
    (merged,) = other.told(CorpusMerged)
    assert merged.entries == len(texts)
    assert {entry_name(text) for text in texts} <= {path.name for path in other.folder.entries()}
    assert reached(campaign) <= reached(other)


def test_a_design_from_another_campaign_is_set_aside(campaign: Campaign) -> None:
    text = campaign.folder.entries()[0].read_text("utf-8")
    design = parse_case(text).design
    stranger = text.replace(f'name = "{design}"', 'name = "../../etc/passwd"')
    (campaign.folder.corpus / "x.tdx.toml").write_text(stranger, "utf-8")
    campaign.run(Limits(cases=CASES))
    (aside,) = campaign.told(EntrySetAside)
    assert aside.why == "design '../../etc/passwd' does not belong to this campaign"


@slow
def test_minimised_it_reaches_the_same_with_less(campaign: Campaign) -> None:
    before = reached(campaign)
    workers = InlineWorkers(campaign.settings)
    with campaign.store() as store:
        result = minimise(campaign.folder, store, campaign.settings, workers)
        assert len(store.entry_names()) == result.after
    assert result.after < result.before
    assert len(campaign.folder.entries()) == result.after
    assert reached(campaign) == before
    with campaign.store() as store:
        again = minimise(campaign.folder, store, campaign.settings, workers)
    assert again == MinimiseResult(result.after, result.after)


HANGS = "no answer within 5 s"


def hanging(name: str) -> InlineWorkers:
    """Workers that hang over one file of the corpus, and over no other task."""

    def spoil(task: Task) -> str | None:
        return HANGS if isinstance(task, MeasureTask) and task.name == name else None

    return InlineWorkers(SMALL, spoil)


def test_a_file_from_elsewhere_that_hangs_is_set_aside(campaign: Campaign) -> None:
    text = campaign.folder.entries()[0].read_text("utf-8")
    stranger = campaign.folder.corpus / f"stranger{SUFFIX}"
    stranger.write_text(f"# Another file.\n{text}", "utf-8")
    workers = hanging(stranger.name)
    campaign.run(Limits(cases=CASES), workers)
    (aside,) = campaign.told(EntrySetAside)
    assert (Path(aside.path).name, aside.why) == (stranger.name, HANGS)
    assert len(campaign.told(WorkerLost)) == ATTEMPTS
    assert campaign.told(CorpusMerged) == []


def test_minimising_sets_aside_what_hangs_and_keeps_the_rest(campaign: Campaign) -> None:
    entries = campaign.folder.entries()
    with campaign.store() as store:
        result = minimise(campaign.folder, store, campaign.settings, hanging(entries[0].name))
        assert entries[0].name not in store.entry_names()
    (aside,) = result.aside
    assert aside.why == HANGS
    assert not entries[0].exists()
    assert result.before == len(entries)
    assert len(campaign.folder.entries()) == result.after > 0


@pytest.mark.parametrize("design", ["../../x", "/etc/passwd", "a\x00b", "ü" * 300, ""])
def test_no_name_leads_out_of_the_folder(design: str) -> None:
    name = finding_name(design, "../..//" + design)
    assert Path(name).name == name
    assert not name.startswith(".")
    assert len(name) < 120
    assert name.isascii()
