"""Text from elsewhere inside of Markdown, HTML and XML: it is shown, and never taken for markup.

Names of designs, messages and traces come from users' code, buckets from files. So what can be
seen is escaped for the language, and what cannot be seen (controls, marks of direction, ends of
lines) is shown as an escape.
"""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

from tdxfuzz.case.visible import visible

# Entities, because backslashes are not read between tags of HTML. An underscore inside of a word
# is none of Markdown's.
_MARKS = re.compile(r"[&<>|\\`*\[\]~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown_text(text: str) -> str:
    """Plain text for a paragraph, a cell of a table or a tag: one line."""
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", visible(text))


def markdown_code(text: str) -> str:
    """A span of code, not for a table: one line."""
    shown = visible(text)
    fence = "`" * (1 + _longest(shown, "`"))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def markdown_block(text: str) -> list[str]:
    """A block of code, as lines."""
    shown = visible(text.rstrip(), "\n")
    fence = "~" * max(4, 1 + _longest(shown, "~"))
    return [fence, shown, fence]


def markdown_link(text: str, path: str) -> str:
    """A link to a file; ``text`` is Markdown."""
    return f"[{text}]({quote(path, safe='/#:@+,=')})"


def html_text(text: str) -> str:
    """Text for HTML, also within the quotes of an attribute. Lines end where they did."""
    return escape(visible(text, "\n"))


def xml_text(text: str) -> str:
    """Text between the tags of XML: one line."""
    return escape(visible(text), quote=False)


def _longest(text: str, mark: str) -> int:
    return max((len(run) for run in re.findall(f"{mark}+", text)), default=0)
