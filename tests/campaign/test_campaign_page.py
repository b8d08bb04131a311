"""The page of a campaign: it needs nothing else, and a browser shows it whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from browser import CONTRAST, Browser, browser_on
from tdxfuzz.campaign.report.charts import chart
from tdxfuzz.campaign.report.data import Data
from tdxfuzz.campaign.report.html import html
from tiers import slow


def test_the_page_needs_nothing_else(folder: Path, data: Data) -> None:
    text = html(data)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    outside = set(re.findall(r"""(?:src|href)=["'](?!#|data:|findings/)([^"']*)""", text))
    assert outside == set()
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text)
    for path in re.findall(r'href="(findings/[^"]*)"', text):
        assert (folder / path).is_file()
    anchors = set(re.findall(r'href="#([^"]*)"', text))
    assert anchors <= set(re.findall(r'id="([^"]*)"', text))


def test_a_chart_has_its_axes() -> None:
    assert chart([(0, 1)], "nothing yet") == ""
    drawn = chart([(0, 0), (90, 1500), (7200, 3000)], "Features", " MB")
    assert re.findall(r">([^<>]+)</text>", drawn) == [
        "0 MB", "0 s", "1.25k MB", "30.0 min", "2.5k MB", "1.0 h", "3.75k MB", "1.5 h",
        "5k MB", "2.0 h",
    ]  # fmt: skip
    ElementTree.fromstring(drawn)


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with browser_on(folder / "report.html") as opened:
        yield opened


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_the_page_in_a_browser(
    browser: Browser, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    browser.open(width, height, scheme)
    shot = tmp_path / "shot.png"
    assert browser.driver.save_screenshot(str(shot))
    assert shot.stat().st_size > 10_000
    assert browser.errors == []
    # Nothing sticks out: what is wide scrolls in a frame of its own.
    assert browser.ask("document.documentElement.scrollWidth") == width
    size = browser.ask("parseFloat(getComputedStyle(document.body).fontSize)")
    assert isinstance(size, int | float)
    assert size >= 16
    least = browser.ask(CONTRAST)
    assert isinstance(least, list)
    assert least[0] >= 4.5, f"a contrast of {least[0]:.2f}: {least[1]!r}"
    dark = browser.ask("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    long_word = "document.querySelector('h3').append('PAGE_'.repeat(40))"
    assert browser.ask(f"{long_word} || document.documentElement.scrollWidth") == width


@slow
def test_every_link_leads_somewhere(browser: Browser, data: Data) -> None:
    browser.open(1280, 900, "light")
    links = browser.ask("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert isinstance(links, list)
    assert {"#matrix", "#findings", "#calls"} <= set(links)
    assert sum(link.startswith("findings/") for link in links) == len(data.shown)
    for link in set(links):
        if link.startswith("#"):
            assert browser.ask(f"document.querySelector({link!r}) !== null"), link
        else:
            assert (browser.page.parent / link).is_file(), link


@slow
def test_the_matrix_fits_a_desk_and_pictures_have_their_lanes(browser: Browser) -> None:
    browser.open(1280, 900, "light")
    frame = "document.querySelector('.wide')"
    assert browser.ask(f"{frame}.scrollWidth <= {frame}.clientWidth")
    lanes = browser.ask("document.querySelectorAll('.finding .desk svg.tdx-lanes').length")
    assert lanes == browser.ask("document.querySelectorAll('.finding').length")
    # No word of a picture runs out of it.
    assert browser.ask(WORDS_INSIDE.replace("WHERE", ".desk"))
    # What is said of a finding stands beside its picture.
    beside = "document.querySelector('.facts').getBoundingClientRect().left"
    assert browser.ask(f"{beside} > 800")


WORDS_INSIDE = (
    "[...document.querySelectorAll('.finding WHERE svg')].every(s => "
    "[...s.querySelectorAll('text')].every("
    "t => t.getBBox().x + t.getBBox().width <= s.viewBox.baseVal.width))"
)


@slow
def test_two_lanes_are_side_by_side_on_a_phone(browser: Browser) -> None:
    browser.open(390, 844, "light")
    assert browser.ask(WORDS_INSIDE.replace("WHERE", ".phone"))
    two = "[...document.querySelectorAll('.phone')].filter(f => !f.textContent.includes('CPU 2'))"
    assert browser.ask(f"{two}.length > 0")
    assert browser.ask(f"{two}.every(f => f.clientWidth > 0 && f.scrollWidth <= f.clientWidth)")


@slow
def test_no_header_of_a_table_is_cut_off(browser: Browser) -> None:
    browser.open(1280, 900, "light")
    name = "document.querySelector('.heat .up')"
    assert browser.ask(f"({name}.textContent = 'A_STATUS_WITH_A_NAME_'.repeat(3)) !== ''")
    assert browser.ask(
        "[...document.querySelectorAll('.up')].every(e => { const a = e.getBoundingClientRect(),"
        " b = e.closest('.wide').getBoundingClientRect();"
        " return a.top >= b.top && a.bottom <= b.bottom })"
    )
