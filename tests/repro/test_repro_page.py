"""The page of a reproducer: what it says, that it is safe to open, and how a browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from attrs import evolve

from browser import CONTRAST, Browser, browser_on
from c_layers import needs_compiler, text_of, write
from commands import Invoke
from golden_files import HINT_RACE, REGRESSIONS
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.design_file import class_in
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.lines import Line
from tdxfuzz.repro.page import page
from tdxfuzz.repro.page.frames import FIRST, LAST, play
from tdxfuzz.repro.page.nearest import MOST, nearest
from tdxfuzz.repro.page.rule import rule_of
from tdxfuzz.repro.page.short import in_short
from tdxfuzz.repro.read import read
from tdxfuzz.repro.reproducer import Expect, Reproducer
from tdxfuzz.run.session import run
from tdxfuzz.sim import Schedule
from tiers import SLOW_AND_LONG, only_quick, slow

V4 = next(path for path in REGRESSIONS if path.name.startswith("v4-unexpected"))
DEADLOCK = next(path for path in REGRESSIONS if "rwlock-deadlock" in path.name)
FATAL = next(path for path in REGRESSIONS if "module-fatal-mem-page-remove" in path.name)
SET_UP = next(path for path in REGRESSIONS if path.name.startswith("v5-page-leak"))
QUICK = (HINT_RACE, DEADLOCK, FATAL, SET_UP)


def data_of(text: str) -> tuple[list[list[object]], list[list[list[int]]]]:
    """The cards of a page, and for each order and line the numbers of its cards."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    data = json.loads(found.group(1))
    return data["cards"], data["orders"]


def words_of(text: str) -> str:
    """What a page says, without its marks and blanks."""
    return "".join(unescape(re.sub(r"<[^>]*>", "", text.partition("<body>")[2])).split())


@pytest.mark.parametrize(
    "path", only_quick(QUICK, REGRESSIONS, SLOW_AND_LONG), ids=lambda path: path.name
)
def test_a_page_says_what_happens_and_which_rule_that_breaks(path: Path) -> None:
    reproducer = read(path)
    played = play(reproducer.case)
    text = page(reproducer)
    said = words_of(text)
    assert played.shown is not None
    rule = rule_of(played.shown)
    for told in (
        played.shown.message,
        rule.text,
        rule.source,
        *(f.line.text for f in played.frames),
    ):
        assert "".join(told.removeprefix("^ ").split()) in said
    cards, orders = data_of(text)
    lines = [
        order.count("<li class=") - 1
        for order in re.findall(r'<ol class="order".*?</ol>', text, re.DOTALL)
    ]
    assert [len(frames) for frames in orders] == lines
    assert all(0 <= card < len(cards) for frames in orders for frame in frames for card in frame)


@pytest.mark.parametrize(
    "path", only_quick(QUICK, REGRESSIONS, SLOW_AND_LONG), ids=lambda path: path.name
)
def test_nothing_shows_in_the_nearest_orders(path: Path) -> None:
    found = run(read(path).case, traced=True)
    others = nearest(found)
    assert bool(others) == bool(found.order.switches)
    assert len({other.case.schedule for other in others}) == len(others) <= MOST
    for other in others:
        assert run(other.case).shown is None
        # One change of CPU is otherwise, and no more.
        changed = set(other.case.schedule) ^ set(found.order)
        assert 1 <= len(changed) <= 2


def test_the_state_is_that_after_each_line() -> None:
    frames = play(read(V4).case).frames
    said = {frame.line.text: dict(frame.cards["range A"]) for frame in frames}
    first = next(text for text in said if "dec_and_test: yes" in text)
    assert (said[first]["refcount"], said[first]["pair"][:2]) == ("0", "in")
    assert said["refcount[A]: set, now 1"]["refcount"] == "1"
    removed = next(text for text in said if "REMOVE(A) = SUCCESS" in text)
    assert said[removed]["pair"] == "out"
    holds = [dict(frame.cards["CPUs"])["CPU 1 holds"] for frame in frames]
    assert any("pamt_lock" in held for held in holds)
    assert not all("pamt_lock" in held for held in holds)


def test_locks_of_the_module_have_their_holders_and_those_who_were_refused() -> None:
    busy = next(path for path in REGRESSIONS if "v5-unexpected-status-mem-page-demote" in path.name)
    told = {value for frame in play(read(busy).case).frames for card in frame.cards
            if card.startswith("locks") for _, value in frame.cards[card]}  # fmt: skip
    assert any(re.fullmatch(r"CPU \d (exclusive|shared)", value) for value in told)
    assert any("refused: BUSY" in value for value in told)
    # Between two calls a CPU holds none of them.
    last = play(read(HINT_RACE).case).frames[-1]
    assert all("CPU 1" not in value for _, value in last.cards.get("locks in the module", ()))


class Talks(Merged):
    """Prints what would be markup, were it not escaped."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.warn("</script><script>alert(1)</script><b onclick='x'>")
        return super().get(pfn, cache)


def test_nothing_that_a_file_or_a_design_says_becomes_markup() -> None:
    evil = "</pre></script><script>alert(2)</script>"
    reproducer = read(HINT_RACE)
    spoilt = evolve(
        reproducer,
        case=evolve(reproducer.case, design="<img src=x>"),
        expect=Expect(reproducer.expect.bucket, evil),
    )
    text = page(spoilt, Talks, "tdxfuzz replay <i>$(reboot)")
    assert "alert(1)" in text
    assert "alert(2)" in text
    assert text.count("<script") == text.count("</script>") == 2
    for mark in ("<img", "<b onclick", "<i>$"):
        assert mark not in text
    assert "http:" not in text
    assert "https:" not in text


class Raises(Merged):
    def put(self, pfn: int, hint: bool = False) -> None:
        raise KeyError("no <such> page")


class Waits(Merged):
    """Goes round for ever in ``put``, and never the same way twice."""

    def put(self, pfn: int, hint: bool = False) -> None:
        rounds = self.atomic("rounds")
        while True:
            rounds.inc()


def of(design: type[RefcountLayer], bucket: str, steps: int = 4_000) -> Reproducer:
    case = evolve(read(HINT_RACE).case, design=design.__name__, schedule=Schedule(), steps=steps)
    return Reproducer(case, Expect(bucket))


def test_a_crash_has_a_page() -> None:
    text = page(of(Raises, "crash/KeyError/put/-"), Raises)
    assert "no &lt;such&gt; page" in text
    assert "No rule about the module is concerned" in text


@slow
def test_a_run_that_is_cut_off_has_a_page_of_its_first_and_last_lines() -> None:
    reproducer = of(Waits, "cut-off/put/-/-")
    text = page(reproducer, Waits)
    assert "This is no finding" in text
    played = play(reproducer.case, Waits)
    assert played.left_out > 1_000
    assert len(played.frames) == FIRST + LAST + 1
    assert "lines are left out here" in text
    assert len(text) < 2_000_000


def test_an_order_without_a_finding_has_a_page_that_says_so() -> None:
    reproducer = evolve(read(HINT_RACE), case=evolve(read(HINT_RACE).case, design="merged"))
    text = page(reproducer)
    assert "<h1>Nothing shows in this order</h1>" in text
    assert "the run ends, and no check fires" in text


@needs_compiler
def test_a_data_race_in_c_has_a_page(tmp_path: Path, invoke: Invoke) -> None:
    layer = write(tmp_path, text_of(before="int count;", get="	count++;"), "racy.c")
    assert invoke("hunt", layer, "--cases", 100, "--seed", 1, "--out", tmp_path / "f").code == 1
    (found,) = (tmp_path / "f").iterdir()
    shown = invoke("show", found, "--as", "page", "--design", layer)
    assert shown.code == 0
    assert "data-race: count: nothing orders the plain write at racy.c:" in unescape(shown.out)
    assert "<small>[racy.c:" in shown.out
    assert f"--design {layer}" in shown.out
    assert class_in(layer).c_file is not None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    file = tmp_path_factory.mktemp("page") / "v4.html"
    file.write_text(page(read(V4)), encoding="utf-8")
    with browser_on(file) as opened:
        yield opened


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_the_page_in_a_browser(browser: Browser, width: int, height: int, scheme: str) -> None:
    browser.open(width, height, scheme)
    assert browser.errors == []
    assert browser.ask("document.documentElement.scrollWidth") == width
    least = browser.ask(CONTRAST)
    assert isinstance(least, list)
    assert least[0] >= 4.5, f"a contrast of {least[0]:.2f}: {least[1]!r}"
    # The state stands in the window together with the line that it belongs to.
    for line in (0, 10, 20):
        browser.ask(f"go({line})")
        place = browser.ask(
            "['[aria-current]', '#state'].map(e => document.querySelector("
            "`.order:not([hidden]) ${e}, ${e}`).getBoundingClientRect())"
            ".map(r => [r.top, r.bottom])"
        )
        assert isinstance(place, list)
        assert all(top < height and bottom > 0 for top, bottom in place)
        if width < 600:
            # There the state lies over the lower part, and must leave the line visible.
            assert place[0][1] <= place[1][0] + 1


@slow
def test_the_page_steps_jumps_plays_and_shows_other_orders(browser: Browser) -> None:
    browser.open(1280, 900, "light")
    where = "document.getElementById('where').textContent"
    last = browser.ask(where)
    assert isinstance(last, str)
    assert re.fullmatch(r"line (\d+) of \1", last)

    def press(key: str) -> object:
        browser.driver.execute_script(
            f"document.body.dispatchEvent(new KeyboardEvent('keydown', "
            f"{{key: {key!r}, bubbles: true, cancelable: true}}))"
        )
        return browser.ask(where)

    assert str(press("Home")).startswith("line 1 of")
    assert str(press("ArrowRight")).startswith("line 2 of")
    assert str(press("ArrowLeft")).startswith("line 1 of")
    assert browser.ask("document.querySelectorAll('#state .rows .changed').length") == 0
    press("n")
    assert (
        browser.ask("document.querySelector('.order li[aria-current]').className.split(' ')[0]")
        == "call"
    )
    changed = 0
    for _ in range(12):
        press("ArrowRight")
        count = browser.ask("document.querySelectorAll('#state .rows .changed').length")
        assert isinstance(count, int)
        changed += count
    assert changed > 3
    browser.driver.execute_script(
        "const s = document.getElementById('jump'); s.selectedIndex = 2;"
        "s.dispatchEvent(new Event('change'))"
    )
    chosen = "document.getElementById('jump').selectedOptions[0].textContent"
    assert browser.ask(
        f"document.querySelector('.order li[aria-current]').dataset.say === {chosen}"
    )
    press("1")
    assert browser.ask("[...document.querySelectorAll('.order')].map(o => o.hidden)") == [
        True,
        False,
        True,
        True,
    ]
    assert browser.ask("document.querySelectorAll('.order:not([hidden]) .mark.quiet').length") == 1
    press(" ")
    assert browser.ask("document.getElementById('play').textContent") == "Pause"
    assert browser.errors == []


def short(path: Path) -> list[str]:
    """What the page of a file says in short."""
    told = page(read(path)).partition('class="short"')[2].partition("</ol>")[0]
    return [unescape(turn) for turn in re.findall(r"<li>(.*?)</li>", told)]


def test_a_page_says_in_short_how_far_each_cpu_comes() -> None:
    assert short(V4) == [
        "CPU 0: zap TD0 page A0, up to “refcount[A]: dec_and_test: yes, now 0” (step 63)",
        (
            "CPU 1: map TD1 page A16; zap TD1 page A16, "
            "with “TDH.PHYMEM.PAMT.ADD(A) = HPA_RANGE_NOT_FREE|RCX”, "
            "“TDH.PHYMEM.PAMT.REMOVE(A) = SUCCESS”, up to “unlock pamt_lock” (step 278)"
        ),
        "CPU 0 goes on, up to “TDH.PHYMEM.PAMT.REMOVE(A) = NO_PAMT_PAGE_PAIR|RCX” (step 290)",
        "PAMT.REMOVE(A) = NO_PAMT_PAGE_PAIR|RCX, which the design does not handle",
    ]
    assert "Known: docs/findings.md, RFC shape, v2 to v5" in page(read(V4))


def test_each_wait_of_a_deadlock_is_told() -> None:
    path = next(path for path in REGRESSIONS if "rwlock-deadlock" in path.name)
    assert short(path)[1:3] == [
        "CPU 1: create TD1, up to “waits for pamt_rwlock[B]” (step 17)",
        "CPU 0 goes on, up to “waits for pamt_rwlock[C]” (step 17)",
    ]


def test_all_calls_of_a_hostile_host_are_told_and_the_one_that_dies() -> None:
    path = next(path for path in REGRESSIONS if "fatal-mem-page-relocate" in path.name)
    assert short(path)[1:] == [
        (
            "CPU 1, with “TDH.PHYMEM.PAMT.REMOVE(rcx=A0|1) = SUCCESS”, "
            "up to “TDH.PHYMEM.PAMT.ADD(rcx=E0|1 rdx=A1 r8=C136) = SUCCESS” (step 49)"
        ),
        (
            "the module shut down in TDH.MEM.PAGE.RELOCATE: fatal error 201: exclusive release of "
            "the PAMT 4KB entry of page E256, which is not held so"
        ),
    ]


def test_of_many_turns_the_first_and_the_last_are_told() -> None:
    lines = [Line(i, i % 2, "host", f"line {i}") for i in range(20)]
    told = in_short(lines)
    assert len(told) == 7
    assert told[0] == "CPU 0, up to “line 0” (step 0)"
    assert told[3] == "… 14 more turns …"
    assert told[-1] == "CPU 1 goes on, up to “line 19” (step 19)"
    assert in_short([]) == []
