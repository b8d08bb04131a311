"""Physical memory as what lies in which page."""

from __future__ import annotations

from tdxfuzz.module.memory import Memory, Page, RawPage


class Zeroed(Page):
    """A page that notices when it is overwritten."""

    def __init__(self, hpa: int) -> None:
        super().__init__(hpa)
        self.zeroed = 0

    def zero(self) -> None:
        self.zeroed += 1


def test_a_page_never_written_is_absent_and_clean() -> None:
    memory = Memory()
    assert memory.at(0x5000) is None
    assert not memory.is_dirty(5)


def test_every_address_of_a_page_finds_its_content() -> None:
    memory = Memory()
    content = RawPage(0x5000, b"x")
    memory.put(content)
    found = [memory.at(address) for address in (0x4FFF, 0x5000, 0x5FFF, 0x6000)]
    assert found == [None, content, content, None]


def test_new_content_replaces_the_old() -> None:
    memory = Memory()
    old, new = Zeroed(0x5000), RawPage(0x5000, b"")
    memory.put(old)
    memory.put(new)
    assert memory.at(0x5000) is new
    assert old.zeroed == 1, "whoever still looks at the old content finds it gone"
    memory.put(new)
    assert memory.at(0x5000) is new


def test_scrubbing_wipes_the_content_out_and_leaves_the_page_clean() -> None:
    memory = Memory()
    content = Zeroed(0x5000)
    memory.put(content)
    assert memory.is_dirty(5)
    memory.scrub(5)
    memory.scrub(5)
    assert content.zeroed == 1
    assert not memory.is_dirty(5)


def test_a_page_of_the_module_is_owned_and_one_of_the_host_is_not() -> None:
    assert Page(0x5000).owned
    assert not RawPage(0x5000, b"").owned


def test_a_plain_page_does_not_mind_being_overwritten() -> None:
    memory = Memory()
    memory.put(Page(0x5000))
    memory.scrub(5)
    assert memory.at(0x5000) is None


def test_bytes_are_written_into_a_page_and_the_rest_of_it_stays() -> None:
    memory = Memory()
    memory.write(0x5004, b"abc")
    memory.write(0x5005, b"x")
    assert memory.read(0x5003, 6) == b"\0axc\0\0"
    assert memory.read(0x6000, 2) == b"\0\0"
    memory.put(RawPage(0x5000, b"short"))
    memory.write(0x5008, b"z")
    assert memory.read(0x5000, 10) == b"short\0\0\0z\0"


def test_writing_bytes_ends_what_the_page_was() -> None:
    memory = Memory()
    page = Zeroed(0x5000)
    memory.put(page)
    memory.write(0x5010, b"x")
    assert page.zeroed == 1
    assert memory.read(0x5000, 17) == bytes(16) + b"x"
