"""Physical memory, as far as its content matters: what lies in which 4KB page."""

from __future__ import annotations


class Page:
    """A 4KB page's content; subclasses are the module's structures.

    ``owned`` is true while the module considers the page its own. Once it has given a
    page back, nothing of the module may read or write it.
    """

    __slots__ = ("hpa", "owned")

    def __init__(self, hpa: int) -> None:
        self.hpa = hpa
        self.owned = True

    def zero(self) -> None:
        """Somebody overwrote the whole page with zeroes."""


class RawPage(Page):
    """A page of the host's whose bytes a leaf reads, e.g. TD_PARAMS."""

    __slots__ = ("content",)

    def __init__(self, hpa: int, content: bytes) -> None:
        super().__init__(hpa)
        self.owned = False
        self.content = content


class Memory:
    """Content by page frame number; a page that was never written is absent."""

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages: dict[int, Page] = {}

    def put(self, page: Page) -> None:
        """Replace the content of the page at ``page.hpa``."""
        self.pages[page.hpa >> 12] = page

    def at(self, hpa: int) -> Page | None:
        """The content of the page that ``hpa`` lies in."""
        return self.pages.get(hpa >> 12)

    def scrub(self, pfn: int) -> None:
        """The host overwrites a page with zeroes (MOVDIR64B, as Linux does)."""
        page = self.pages.pop(pfn, None)
        if page is not None:
            page.zero()

    def is_dirty(self, pfn: int) -> bool:
        """Whether the page still holds what the module, or a TD, wrote there."""
        return pfn in self.pages
