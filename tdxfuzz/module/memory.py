"""Physical memory, as far as its content matters: what lies in which 4KB page."""

from __future__ import annotations

from typing import ClassVar

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.sim import Declared


class Page:
    """A 4KB page's content; subclasses are the module's structures.

    ``owned`` is true while the module considers the page its own. Once it has given a
    page back, nothing of the module may read or write it.
    """

    __slots__ = ("hpa", "owned")

    STATE: ClassVar = Declared(shared="owned", fixed="hpa")

    def __init__(self, hpa: int) -> None:
        self.hpa = hpa
        self.owned = True

    def zero(self) -> None:
        """Somebody overwrote the whole page with zeroes."""


class RawPage(Page):
    """A page of the host's whose bytes a leaf reads, e.g. TD_PARAMS."""

    __slots__ = ("content",)

    STATE: ClassVar = Declared(shared="content")

    def __init__(self, hpa: int, content: bytes) -> None:
        super().__init__(hpa)
        self.owned = False
        self.content = content


class Memory:
    """Content by page frame number; a page that was never written is absent.

    What pages hold tells their kinds apart in the key of a state.
    """

    __slots__ = ("pages",)

    STATE: ClassVar = Declared(parts="pages")

    def __init__(self) -> None:
        self.pages: dict[int, Page] = {}

    def put(self, page: Page) -> None:
        """Replace the content of the page at ``page.hpa``: what was there is gone."""
        before = self.pages.get(page.hpa >> 12)
        if before is not None and before is not page:
            before.zero()
        self.pages[page.hpa >> 12] = page

    def at(self, hpa: int) -> Page | None:
        """The content of the page that ``hpa`` lies in."""
        return self.pages.get(hpa >> 12)

    def read(self, hpa: int, size: int) -> bytes:
        """``size`` bytes out of one page of the host's; memory never written is zero."""
        page = self.at(hpa)
        content = page.content if isinstance(page, RawPage) else b""
        return content[hpa & 0xFFF :][:size].ljust(size, b"\0")

    def write(self, hpa: int, data: bytes) -> None:
        """A leaf writes into one page of the host's; the rest of that page stays."""
        start = hpa & 0xFFF
        content = self.read(hpa - start, SIZE_4K)
        content = content[:start] + data + content[start + len(data) :]
        self.put(RawPage(hpa - start, content))

    def overwrite(self, hpa: int) -> None:
        """A leaf writes the whole page with what the model does not keep."""
        self.scrub(hpa >> 12)

    def scrub(self, pfn: int) -> None:
        """The host overwrites a page with zeroes (MOVDIR64B, as Linux does)."""
        page = self.pages.pop(pfn, None)
        if page is not None:
            page.zero()

    def is_dirty(self, pfn: int) -> bool:
        """Whether the page still holds what the module, or a TD, wrote there."""
        return pfn in self.pages
