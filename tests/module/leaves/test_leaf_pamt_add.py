"""TDH.PHYMEM.PAMT.ADD: what it does, and in which order it looks."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_1G, SIZE_4K
from tdxfuzz.module.tdmr import TdmrInfo

from ..lab import BASE, HKID_BIT, NEW, OUTSIDE, TDR, Lab, page
from ..rows import Refusal, check_refused
from ..states import created, large_page, paired

ADD = "PHYMEM.PAMT.ADD"
TARGET = page(0) | 1
D0, D1 = page(300), page(301)
FAR = 1 << 46
"""Above MAXPA, but below the constant the module compares with."""


def backing(lab: Lab) -> None:
    """D0 and D1 back another range already."""
    lab.ok(ADD, rcx=page(1) | 1, rdx=D0, r8=D1)


def paired_and_read(lab: Lab) -> None:
    paired(lab)
    assert lab.node(0).acquire_sh()


def td_held(lab: Lab) -> None:
    created(lab)
    assert lab.entry(TDR).acquire_ex()


def td_and_d1_held(lab: Lab) -> None:
    created(lab)
    assert lab.node(301).acquire_ex()


def backing_and_d1_held(lab: Lab) -> None:
    backing(lab)
    assert lab.node(301).acquire_ex()


def backing_and_td(lab: Lab) -> None:
    backing(lab)
    created(lab)


def good(**changes: int) -> dict[str, int]:
    return {"rcx": TARGET, "rdx": D0, "r8": D1} | changes


REFUSALS = [
    # 2: the format of RCX, before the other operands are looked at
    Refusal("level 0", good(rcx=page(0)), "OPERAND_INVALID|RCX"),
    Refusal("level 2", good(rcx=page(0) | 2), "OPERAND_INVALID|RCX"),
    Refusal("bit 3", good(rcx=TARGET | 8), "OPERAND_INVALID|RCX"),
    Refusal("bit 11", good(rcx=TARGET | 1 << 11), "OPERAND_INVALID|RCX"),
    Refusal("bit 52", good(rcx=TARGET | 1 << 52), "OPERAND_INVALID|RCX"),
    Refusal("bit 63", good(rcx=TARGET | 1 << 63), "OPERAND_INVALID|RCX"),
    Refusal("HKID in RCX", good(rcx=TARGET | HKID_BIT), "OPERAND_INVALID|RCX"),
    Refusal("not 2MB aligned", good(rcx=page(0, 1) | 1), "OPERAND_INVALID|RCX"),
    Refusal("RCX before RDX", good(rcx=page(0), rdx=D0 + 1), "OPERAND_INVALID|RCX"),
    # 3, 4: RDX, before R8
    Refusal("RDX not aligned", good(rdx=D0 + 1), "OPERAND_INVALID|RDX"),
    Refusal("HKID in RDX", good(rdx=D0 | HKID_BIT), "OPERAND_INVALID|RDX"),
    Refusal("RDX at 2^52", good(rdx=1 << 52), "OPERAND_INVALID|RDX"),
    Refusal("RDX above MAXPA", good(rdx=FAR), "OPERAND_ADDR_RANGE_ERROR|RDX"),
    Refusal("RDX in no TDMR", good(rdx=OUTSIDE), "OPERAND_ADDR_RANGE_ERROR|RDX"),
    Refusal("RDX before R8", good(rdx=OUTSIDE, r8=D1 + 1), "OPERAND_ADDR_RANGE_ERROR|RDX"),
    # 5, 6: R8, before RCX is looked for in the TDMRs
    Refusal("R8 not aligned", good(r8=D1 + 1), "OPERAND_INVALID|R8"),
    Refusal("HKID in R8", good(r8=D1 | HKID_BIT), "OPERAND_INVALID|R8"),
    Refusal("R8 at 2^52", good(r8=1 << 52), "OPERAND_INVALID|R8"),
    Refusal("R8 above MAXPA", good(r8=FAR), "OPERAND_ADDR_RANGE_ERROR|R8"),
    Refusal("R8 in no TDMR", good(r8=OUTSIDE), "OPERAND_ADDR_RANGE_ERROR|R8"),
    Refusal("R8 before RCX", good(rcx=OUTSIDE | 1, r8=D1 + 1), "OPERAND_INVALID|R8"),
    # 7: RCX in a TDMR
    Refusal("RCX in no TDMR", good(rcx=OUTSIDE | 1), "OPERAND_ADDR_RANGE_ERROR|RCX"),
    Refusal("RCX above MAXPA", good(rcx=FAR | 1), "OPERAND_ADDR_RANGE_ERROR|RCX"),
    Refusal("range before donors", good(rcx=OUTSIDE | 1, rdx=TDR), "OPERAND_ADDR_RANGE_ERROR|RCX"),
    # 8: the lock of the target, before its type
    Refusal("read", good(), "OPERAND_BUSY|RCX", lambda lab: lab.node(0).acquire_sh()),
    Refusal("written", good(), "OPERAND_BUSY|RCX", lambda lab: lab.node(0).acquire_ex()),
    Refusal("1GB held", good(), "OPERAND_BUSY|RCX", lambda lab: lab.block.entry_1g.acquire_ex()),
    Refusal("busy before not free", good(), "OPERAND_BUSY|RCX", paired_and_read),
    # 9: the type of the target, before the donors
    Refusal("paired already", good(), "HPA_RANGE_NOT_FREE|RCX", paired),
    Refusal("2MB page", good(), "HPA_RANGE_NOT_FREE|RCX", large_page),
    Refusal("target before donor", good(rdx=NEW, r8=NEW), "HPA_RANGE_NOT_FREE|RCX", large_page),
    # 10: the lock of the first donor, before its type
    Refusal("range of RDX", good(), "OPERAND_BUSY|RDX", lambda lab: lab.node(300).acquire_ex()),
    Refusal("RDX busy before used", good(rdx=TDR), "OPERAND_BUSY|RDX", td_held),
    Refusal("RDX used", good(rdx=TDR), "PAGE_NOT_FREE|RDX", created),
    Refusal(
        "RDX in a 2MB page", good(rcx=page(1) | 1, rdx=page(0, 7)), "PAGE_NOT_FREE|RDX", large_page
    ),
    Refusal("RDX used before R8 busy", good(rdx=TDR), "PAGE_NOT_FREE|RDX", td_and_d1_held),
    # 11: the same for the second, before the bitmap
    Refusal("range of R8", good(), "OPERAND_BUSY|R8", lambda lab: lab.node(301).acquire_ex()),
    Refusal("R8 used", good(r8=TDR), "PAGE_NOT_FREE|R8", created),
    Refusal("R8 busy before RDX backing", good(), "OPERAND_BUSY|R8", backing_and_d1_held),
    Refusal("R8 used before RDX backing", good(r8=TDR), "PAGE_NOT_FREE|R8", backing_and_td),
    # 12, 13: the bitmap
    Refusal("both backing", good(), "PAGE_NOT_FREE|RDX", backing),
    Refusal("RDX backing", good(r8=page(302)), "PAGE_NOT_FREE|RDX", backing),
    Refusal("R8 backing", good(rdx=page(302)), "PAGE_NOT_FREE|R8", backing),
    Refusal("the same page twice", good(r8=D0), "PAGE_NOT_FREE|R8"),
]


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_it_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    result = check_refused(lab, ADD, row)
    assert {k: v for k, v in result.regs.as_dict().items() if v} == row.registers


def test_success_makes_a_pair_and_leaves_the_registers_alone(lab: Lab) -> None:
    regs = lab.ok(ADD, **good(), r9=9, r12=12)
    assert {k: v for k, v in regs.as_dict().items() if v} == good(r9=9, r12=12)
    assert lab.held() == {}
    pair = {"pt": "PAMT", "hpa0": hex(D0), "hpa1": hex(D1), "page_count": 0}
    assert lab.state()["ranges"] == [{"hpa": hex(page(0)), **pair}]
    assert lab.state()["bitmap"] == [hex(D0), hex(D1)]


def test_the_first_page_holds_the_lower_half(lab: Lab) -> None:
    lab.ok(ADD, **good(rdx=D1, r8=D0))
    assert [backing.hpa for backing in lab.node(0).backing] == [D1, D0]


def test_a_range_may_host_its_own_pair(lab: Lab) -> None:
    lab.ok(ADD, rcx=TARGET, rdx=page(0, 5), r8=page(0, 300))
    td = lab.td()
    for n, status in ((5, "PAGE_METADATA_INCORRECT|R8"), (6, "SUCCESS")):
        td.tables()
        assert lab.call("MEM.PAGE.AUG", rcx=0x40000000, rdx=TDR, r8=page(0, n)).text == status


def test_a_free_page_of_a_paired_range_may_be_given(lab: Lab) -> None:
    lab.pair(1)
    lab.ok(ADD, **good(rdx=page(1, 3), r8=page(1, 4)))
    assert lab.node(1).page_count.value == 0


def test_a_range_that_hosts_pages_of_others_may_be_paired(lab: Lab) -> None:
    lab.ok(ADD, **good(rdx=page(1), r8=page(1, 1)))
    lab.ok(ADD, rcx=page(1) | 1, rdx=D0, r8=D1)
    assert lab.call("PHYMEM.PAGE.RDMD", rcx=page(1)).regs.rcx == 15


def test_a_reserved_page_cannot_be_given_but_its_range_can_be_paired() -> None:
    lab = Lab(tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(1), 2 * SIZE_4K),))])
    assert lab.call(ADD, **good(rdx=page(1))).text == "PAGE_NOT_FREE|RDX"
    assert lab.call(ADD, **good(r8=page(1, 1))).text == "PAGE_NOT_FREE|R8"
    lab.ok(ADD, rcx=page(1) | 1, rdx=D0, r8=D1)
    assert lab.call("MNG.CREATE", rcx=page(1, 1), rdx=40).text == "PAGE_METADATA_INCORRECT|RCX"
    assert lab.call("MNG.CREATE", rcx=page(1, 2), rdx=40).text == "SUCCESS"


def test_a_page_in_a_gigabyte_not_yet_initialised_is_in_no_tdmr() -> None:
    lab = Lab(tdmrs=[TdmrInfo(BASE, 2 * SIZE_1G, initialized=SIZE_1G)])
    late = BASE + SIZE_1G
    for operand, value in (("rcx", late | 1), ("rdx", late), ("r8", late)):
        wanted = f"OPERAND_ADDR_RANGE_ERROR|{operand.upper()}"
        assert lab.call(ADD, **good(**{operand: value})).text == wanted
    lab.ok(ADD, **good())


def test_pages_may_come_from_another_tdmr() -> None:
    lab = Lab(tdmrs=[TdmrInfo(BASE, SIZE_1G), TdmrInfo(BASE + 2 * SIZE_1G, SIZE_1G)])
    lab.ok(ADD, **good(r8=BASE + 2 * SIZE_1G))
    first, second = (tdmr.bitmap for tdmr in lab.module.pamt.tdmrs)
    assert list(first.backing_pages()) == [D0]
    assert list(second.backing_pages()) == [BASE + 2 * SIZE_1G]
    assert lab.call(ADD, rcx=page(1) | 1, rdx=D1, r8=BASE + 2 * SIZE_1G).text == "PAGE_NOT_FREE|R8"
    assert list(first.backing_pages()) == [D0]
    assert lab.unpair(0).text == "SUCCESS"
    assert list(first.backing_pages()) == list(second.backing_pages()) == []


@pytest.mark.parametrize("registers", [good(), good(rcx=0), good(rdx=1), {}])
def test_without_dynamic_pamt_the_leaf_does_not_exist(registers: dict[str, int]) -> None:
    assert Lab(dynamic=False).call(ADD, **registers).text == "OPERAND_INVALID|RAX"


def test_locks_are_released_in_reverse_of_their_order(lab: Lab) -> None:
    events = lab.record()
    lab.ok(ADD, **good())
    g = f"PAMT_1G[{BASE:#x}]"
    target, first, second = (f"PAMT_2M[{page(n):#x}]" for n in (0, 300, 301))
    assert events == [
        *(f"acq SH {g}", f"acq SH {target}", f"promote EX {target}"),
        *(f"acq SH {g}", f"acq SH {first}"),
        *(f"acq SH {g}", f"acq SH {second}"),
        *(f"bts BITMAP[{D0:#x}]", f"bts BITMAP[{D1:#x}]"),
        *(f"rel SH {second}", f"rel SH {g}"),
        *(f"rel SH {first}", f"rel SH {g}"),
        *(f"rel EX {target}", f"rel SH {g}"),
    ]
