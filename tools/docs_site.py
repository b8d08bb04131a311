"""Hooks of the documentation site (``mkdocs.yml``).

* The navigation is the table of contents in ``docs/index.md``: its headings and their bullets.
* What a page links to outside of ``docs/`` comes along: ``../CONTRIBUTING.md`` becomes a page,
  ``../corpus/….tdx.toml`` a file to load. So links are written as they work on GitHub.
* Roles of docstrings (``:func:`` …) are dropped; the names in them stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"

OUTSIDE = re.compile(r"\]\(\.\./([^)#\s]+)")
"""A link of a page of ``docs/`` that leads out of it."""

ENTRY = re.compile(r"^- \[(.+?)\]\(([^)]+)\)", re.MULTILINE)

ROLE = re.compile(r":(?:attr|class|func|meth|mod):(?=<code>)")


def contents() -> dict[str, list[dict[str, str]]]:
    """The pages by title, below the headings of the table of contents."""
    parts = re.split(r"^## (.+)\n", INDEX.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        heading: [{title: at_root(target)} for title, target in ENTRY.findall(text)]
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def at_root(target: str) -> str:
    """Where a page's link leads on the site: ``../X`` is beside the pages there."""
    return "index.md" if target == "../README.md" else target.removeprefix("../")


def on_config(config: MkDocsConfig) -> None:
    """Make the navigation."""
    config.nav = [{"Home": "index.md"}, *({name: pages} for name, pages in contents().items())]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Take along what pages link to."""
    from mkdocs.structure.files import File

    pages = [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))]
    linked = {target for text in pages for target in OUTSIDE.findall(text)} - {"README.md"}
    for target in sorted(linked):
        if (ROOT / target).is_file():
            files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site."""
    if (DOCS / page.file.src_uri).is_file():
        return OUTSIDE.sub(lambda match: f"]({at_root(f'../{match[1]}')}", markdown)
    return re.sub(r"\]\(docs/", "](", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Docstrings without their roles."""
    return ROLE.sub("", html)
