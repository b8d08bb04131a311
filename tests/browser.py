"""A real browser, headless, for tests of pages; a test that wants one is skipped without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")

CONTRAST = """(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
    v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (!c.startsWith('rgba(') || c.endsWith(', 1)')) return c }
    return 'rgb(255, 255, 255)' };
  return [...document.querySelectorAll('h1,h2,h3,p,th,td.found,td.clean,td.never,dt,dd,a,pre')].map(
    e => { const a = light(getComputedStyle(e).color), b = light(behind(e));
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.textContent.slice(0, 40)] }).sort(
    (a, b) => a[0] - b[0])[0] })()"""
"""The least contrast of any text of a page, and that text."""


class Browser:
    """A headless browser on one page."""

    def __init__(self, page: Path) -> None:
        from selenium.webdriver import Chrome, ChromeOptions, ChromeService

        options = ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for flag in (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            "hide-scrollbars",
        ):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
        self.page = page

    def open(self, width: int, height: int, scheme: str) -> None:
        """Open the page in a window of this size, light or dark."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        self.driver.get(self.page.as_uri())

    def ask(self, script: str) -> object:
        """The value of an expression."""
        return self.driver.execute_script(f"return {script}")

    @property
    def errors(self) -> list[object]:
        """What the browser has complained of since it was last asked."""
        # Selenium has types, but for this.
        return list(self.driver.get_log("browser"))  # type: ignore[no-untyped-call]


@contextmanager
def browser_on(page: Path) -> Iterator[Browser]:
    """A browser for one page."""
    if CHROMIUM is None or shutil.which("chromedriver") is None:
        pytest.skip("no chromium and chromedriver here")
    opened = Browser(page)
    yield opened
    opened.driver.quit()
