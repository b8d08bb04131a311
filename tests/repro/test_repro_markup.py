"""What users' code and files say is shown in Markdown, HTML and XML, and is never markup there."""

from __future__ import annotations

from html import unescape
from xml.etree import ElementTree

import pytest

from tdxfuzz.repro.markup import (
    html_text,
    markdown_block,
    markdown_code,
    markdown_link,
    markdown_text,
    xml_text,
)

HOSTILE = [
    "a|b",
    "a\\|b",
    "two\nlines",
    "\r\n\n# a heading",
    "`code`",
    "``` code",
    "<script>alert(1)</script>",
    "</pre></details><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "[click](javascript:alert(1))",
    "&lt;b&gt;",
    "*bold* and _italic_ and ~~gone~~",
    "]]>",
    "evil\u202egnp.exe",
    "\x1b[31mred\x1b[0m",
    "\x00\x07",
    "\udcff",
    "~~~~\nout of the block",
    "~" * 9,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_it_is_no_markup(text: str) -> None:
    told = markdown_text(text)
    assert told.isprintable()
    assert not set(told.replace("&#", "")) & set("<>|\\`*[]~")
    code = markdown_code(text)
    assert code.isprintable()
    fence = code[: len(code) - len(code.lstrip("`"))]
    assert code.endswith(fence)
    assert fence not in code[len(fence) : -len(fence)]
    opened, *inside, closed = "\n".join(markdown_block(text)).split("\n")
    assert opened == closed
    assert not any(line.startswith(opened) for line in inside)
    for line in inside:
        assert line.isprintable()
    page = ElementTree.fromstring(f'<a b="{html_text(text)}">{xml_text(text)}</a>')
    assert not list(page)
    assert list(page.attrib) == ["b"]


@pytest.mark.parametrize("text", ["a|b", "<b>", "[x](y)", "a_b", "`c`", "\\"])
def test_what_can_be_seen_is_seen(text: str) -> None:
    assert unescape(markdown_text(text)) == text
    assert unescape(html_text(text)) == text


def test_words_stay_readable() -> None:
    plain = "TDH.PHYMEM.PAMT.ADD: 3 times in one_place, on v3-base (as told)"
    assert markdown_text(plain) == plain


def test_a_link_leads_to_its_file_whatever_its_name() -> None:
    assert markdown_link("x", "out/a (1)>.toml") == "[x](out/a%20%281%29%3E.toml)"
    assert markdown_link("x", "../a-b_c.tdx.toml") == "[x](../a-b_c.tdx.toml)"
