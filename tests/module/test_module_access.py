"""How operands are checked, whatever the leaf: addresses, GPAs, page types, locks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi import Registers, Status
from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module import access
from tdxfuzz.module.call import Call
from tdxfuzz.module.codes import R8, RCX
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT

from .lab import GPA, HKID_BIT, NEW, OUTSIDE, TDR, TDVPR, Lab, Stage, Td, page
from .states import large_page, nothing


def refused_with(action: Callable[[], object]) -> str:
    """The status an action is refused with; "" if it is not."""
    try:
        action()
    except Refused as refused:
        return str(Status(refused.status))
    return ""


def call_on(lab: Lab) -> Call:
    return Call(0, 0, lab.lps[0], Registers())


@pytest.mark.parametrize(
    ("hpa", "size", "ok"),
    [
        (0, SIZE_4K, True),
        (SIZE_4K - 1, SIZE_4K, False),
        (SIZE_4K, SIZE_2M, False),
        (SIZE_2M, SIZE_2M, True),
        (HKID_BIT, SIZE_4K, False),
        (HKID_BIT << 5, SIZE_4K, False),
        (HKID_BIT << 6, SIZE_4K, True),
        ((1 << 52) - (1 << 46), SIZE_4K, True),
        (1 << 52, SIZE_4K, False),
        (1 << 63, SIZE_4K, False),
    ],
)
def test_a_private_address_is_aligned_without_hkid_and_below_2_to_52(
    lab: Lab, hpa: int, size: int, ok: bool
) -> None:
    wanted = "" if ok else "OPERAND_INVALID|R8"
    assert refused_with(lambda: access.check_hpa(lab.module, hpa, R8, size)) == wanted


@pytest.mark.parametrize(
    ("hpa", "ok"),
    [
        (0x1000, True),
        (0x1001, False),
        (0x1000 | 31 << 40, True),
        (0x1000 | 32 << 40, False),
        (0x1000 | 63 << 40, False),
        (1 << 51, True),
        (1 << 52, False),
    ],
)
def test_a_shared_address_may_have_any_hkid_of_the_hosts(lab: Lab, hpa: int, ok: bool) -> None:
    wanted = "" if ok else "OPERAND_INVALID|R8"
    assert refused_with(lambda: access.check_shared_hpa(lab.module, hpa, R8, SIZE_4K)) == wanted


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (GPA, (GPA, 0)),
        (GPA | 1, (GPA, 1)),
        (GPA | 2, (GPA, 2)),
        (GPA | 3, None),
        (GPA + SIZE_4K, (GPA + SIZE_4K, 0)),
        (GPA + SIZE_4K | 1, None),
        (GPA + SIZE_2M | 2, None),
        (GPA | 8, None),
        (GPA | 1 << 11, None),
        (GPA | 1 << 52, None),
        (GPA | 1 << 63, None),
    ],
)
def test_a_gpa_operand_has_a_level_that_it_is_aligned_to(
    info: int, expected: tuple[int, int] | None
) -> None:
    if expected is None:
        refused = refused_with(lambda: access.check_page_info(info, LEVEL_4K, LEVEL_1G))
        assert refused == "OPERAND_INVALID|RCX"
    else:
        assert access.check_page_info(info, LEVEL_4K, LEVEL_1G) == expected


@pytest.mark.parametrize(("level", "ok"), [(0, False), (1, True), (2, True), (3, False)])
def test_the_level_of_a_gpa_operand_has_bounds(level: int, ok: bool) -> None:
    check = refused_with(lambda: access.check_page_info(GPA | level, LEVEL_2M, LEVEL_1G))
    assert check == ("" if ok else "OPERAND_INVALID|RCX")


@pytest.mark.parametrize(
    ("gpa", "ok"),
    [
        (0, True),
        ((1 << 46) - SIZE_4K, True),
        (1 << 46, False),
        (1 << 47, False),
        (1 << 48, False),
    ],
)
def test_a_private_gpa_fits_the_platform_and_has_no_shared_bit(td: Td, gpa: int, ok: bool) -> None:
    refused = refused_with(lambda: access.check_private_gpa(td.structure.tdcs, gpa))
    assert refused == ("" if ok else "OPERAND_INVALID|RCX")


def has_td(lab: Lab) -> None:
    lab.td(Stage.VCPU)


def is_backing(lab: Lab) -> None:
    has_td(lab)
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=NEW, r8=page(300))


@pytest.mark.parametrize(
    ("before", "hpa", "expected", "status"),
    [
        (nothing, NEW + 1, PT.NDA, "OPERAND_INVALID|R8"),
        (nothing, NEW | HKID_BIT, PT.NDA, "OPERAND_INVALID|R8"),
        (nothing, 1 << 46, PT.NDA, "OPERAND_ADDR_RANGE_ERROR|R8"),
        (nothing, OUTSIDE, PT.NDA, "OPERAND_ADDR_RANGE_ERROR|R8"),
        (nothing, NEW, PT.NDA, "MISSING_PAMT_PAGE_PAIR|R8"),
        (nothing, NEW, PT.TDR, "PAGE_METADATA_INCORRECT|R8"),
        (large_page, page(0, 3), PT.NDA, "PAGE_METADATA_INCORRECT|R8"),
        (large_page, page(0, 3), PT.REG, "PAGE_METADATA_INCORRECT|R8"),
        (has_td, TDR, PT.NDA, "PAGE_METADATA_INCORRECT|R8"),
        (has_td, NEW, PT.TDR, "PAGE_METADATA_INCORRECT|R8"),
        (has_td, TDVPR, PT.TDR, "PAGE_METADATA_INCORRECT|R8"),
        (is_backing, NEW, PT.NDA, "PAGE_METADATA_INCORRECT|R8"),
        (is_backing, page(300), PT.NDA, "MISSING_PAMT_PAGE_PAIR|R8"),
        (has_td, NEW, PT.NDA, ""),
        (has_td, TDR, PT.TDR, ""),
    ],
)
@pytest.mark.parametrize("mode", [SHARED, EXCLUSIVE])
def test_an_explicit_page_is_checked_and_locked(
    lab: Lab, before: Callable[[Lab], None], hpa: int, expected: PT, status: str, mode: str
) -> None:
    before(lab)
    call = call_on(lab)
    refused = refused_with(lambda: access.lock_page(lab.module, call, hpa, R8, mode, expected))
    assert refused == status
    assert (lab.held() == {}) is (status != "")
    call.unwind()
    assert lab.held() == {}


def try_lock(lab: Lab, hpa: int, mode: str = EXCLUSIVE, level: int = LEVEL_4K) -> str:
    """Lock a page that should be free, as operand RCX, and keep it: the refusal."""
    call = call_on(lab)
    return refused_with(lambda: access.lock_page(lab.module, call, hpa, RCX, mode, PT.NDA, level))


def test_busy_is_found_out_before_the_wrong_type(lab: Lab) -> None:
    has_td(lab)
    assert try_lock(lab, TDR) == "PAGE_METADATA_INCORRECT|RCX"
    assert lab.entry(TDR).acquire_sh()
    assert try_lock(lab, TDR) == "OPERAND_BUSY|RCX"


def test_an_unpaired_page_is_busy_rather_than_missing_while_its_range_is_locked(lab: Lab) -> None:
    assert try_lock(lab, page(0)) == "MISSING_PAMT_PAGE_PAIR|RCX"
    assert lab.node(0).acquire_sh()
    assert try_lock(lab, page(0)) == "OPERAND_BUSY|RCX"
    assert lab.host_priority() == [f"PAMT_2M[{page(0):#x}]"]


def test_a_gigabyte_operand_is_aligned_to_a_gigabyte(lab: Lab) -> None:
    assert try_lock(lab, page(0) + SIZE_2M, SHARED, LEVEL_1G) == "OPERAND_INVALID|RCX"
    assert try_lock(lab, page(0) + SIZE_1G, SHARED, LEVEL_1G) == "OPERAND_ADDR_RANGE_ERROR|RCX"
    assert try_lock(lab, page(0), SHARED, LEVEL_1G) == ""


def test_a_2mb_range_is_free_only_without_backing_pages_in_it(lab: Lab) -> None:
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(1, 9), r8=page(2))

    def lock(range_index: int) -> str:
        hpa, call = page(range_index), call_on(lab)
        return refused_with(lambda: access.lock_free_page(lab.module, call, hpa, R8, LEVEL_2M))

    assert lock(1) == "PAGE_METADATA_INCORRECT|R8"
    assert lab.held() == {}
    assert lock(3) == ""
    assert lab.held()[f"PAMT_2M[{page(3):#x}]"] == "EX"


def test_an_implicit_page_is_locked_alone(lab: Lab) -> None:
    has_td(lab)
    call = call_on(lab)
    access.lock_implicit_tdr(lab.module, call, TDR, SHARED)
    assert lab.held() == {f"PAMT_4K[{TDR:#x}]": "SH 1"}

    def lock_exclusive() -> None:
        access.lock_implicit_tdr(lab.module, call_on(lab), TDR, EXCLUSIVE)

    assert refused_with(lock_exclusive) == "OPERAND_BUSY|TDR"
    call.unwind()
    assert lab.held() == {}
