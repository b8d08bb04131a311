"""The state of a module as plain data, in the form of the recordings."""

from __future__ import annotations

import json

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module.snapshot import all_tdrs, host_priority_locks, snapshot, used_pages
from tdxfuzz.module.tdmr import TdmrInfo

from .lab import BASE, GPA, HKID, NEW, TDR, Lab, Stage, page


def test_a_new_module_has_an_empty_state(lab: Lab) -> None:
    assert snapshot(lab.module) == {
        "ranges": [],
        "pages": [],
        "bitmap": [],
        "hp": [],
        "kot": {},
        "tds": {},
    }


def test_the_state_of_a_small_td_in_full(lab: Lab) -> None:
    td = lab.td()
    td.aug(page(0), level=1)
    for i in range(3):
        td.aug(page(8, 300 + i), GPA + SIZE_2M + i * SIZE_4K)
    assert snapshot(lab.module) == {
        "ranges": [
            {"hpa": "0x100000000", "pt": "REG", "owner": "0x101000000"},
            {
                "hpa": "0x101000000",
                "pt": "PAMT",
                "hpa0": "0x120000000",
                "hpa1": "0x120001000",
                "page_count": 1 + 6 + 3 + 3,
            },
        ],
        "pages": [
            ["0x101000000", 1, "TDR", "0x0"],
            ["0x101001000", 6, "TDCX", "0x101000000"],
            ["0x101010000", 3, "EPT", "0x101000000"],
            ["0x10112c000", 3, "REG", "0x101000000"],
        ],
        "bitmap": ["0x120000000", "0x120001000"],
        "hp": [],
        "kot": {"40": ["ASSIGNED", 0]},
        "tds": {
            "0x101000000": {
                "hkid": HKID,
                "lifecycle": "KEYS_CONFIGURED",
                "chldcnt": 6 + 3 + 512 + 3,
                "num_tdcx": 6,
                "op_state": "INITIALIZED",
                "num_vcpus": 0,
                "td_epoch": 1,
                "sept": [
                    ["0x0", 3, "NL_MAPPED", "0x101010000", 1],
                    ["0x40000000", 2, "NL_MAPPED", "0x101011000", 1],
                    ["0x40200000", 1, "NL_MAPPED", "0x101012000", 1],
                    ["0x40000000", 1, "PENDING", "0x100000000", 1],
                    ["0x40200000", 0, "PENDING", "0x10112c000", 3],
                ],
            }
        },
    }


def test_the_state_is_json_and_taking_it_is_no_step(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE)
    before = lab.sim.clock
    state = snapshot(lab.module)
    assert lab.sim.clock == before
    assert json.loads(json.dumps(state)) == state


def test_a_td_shows_only_what_its_stage_has(lab: Lab) -> None:
    shown = []
    for i, stage in enumerate((Stage.CREATED, Stage.KEYS, Stage.TDCX, Stage.INIT)):
        lab.td(stage, home=8 + i, hkid=40 + i)
        td = lab.state()["tds"]
        assert isinstance(td, dict)
        shown.append(set(td[hex(page(8 + i))]) - {"hkid", "lifecycle", "chldcnt", "num_tdcx"})
    with_tdcs = {"op_state", "num_vcpus"}
    assert shown == [set(), set(), with_tdcs, with_tdcs | {"td_epoch", "sept"}]


def test_a_td_in_teardown_shows_no_tdcs(lab: Lab) -> None:
    td = lab.td()
    td.teardown()
    assert lab.state()["tds"] == {
        hex(TDR): {"hkid": HKID, "lifecycle": "TEARDOWN", "chldcnt": 6, "num_tdcx": 6}
    }
    assert lab.state()["kot"] == {}


def test_runs_of_pages_break_at_gaps_types_owners_and_never_elsewhere(lab: Lab) -> None:
    first, second = lab.td(), lab.td(home=9, hkid=41)
    lab.pair(0)
    for n, td in ((254, first), (255, first), (256, first), (257, second), (259, second)):
        td.aug(page(0, n), GPA + n * SIZE_4K)
    pages = lab.state()["pages"]
    assert isinstance(pages, list)
    assert pages[:3] == [
        [hex(page(0, 254)), 3, "REG", hex(page(8))],
        [hex(page(0, 257)), 1, "REG", hex(page(9))],
        [hex(page(0, 259)), 1, "REG", hex(page(9))],
    ]


def test_mappings_are_merged_only_where_gpa_and_hpa_go_on_together(lab: Lab) -> None:
    td = lab.td()
    for gpa_index, n in ((0, 300), (1, 301), (2, 303), (4, 304)):
        td.aug(page(8, n), GPA + gpa_index * SIZE_4K)
    sept = [row for row in td_sept(lab) if row[1] == 0]
    assert [(row[0], row[4]) for row in sept] == [
        (hex(GPA), 2),
        (hex(GPA + 2 * SIZE_4K), 1),
        (hex(GPA + 4 * SIZE_4K), 1),
    ]


def test_blocked_and_open_mappings_are_not_merged(lab: Lab) -> None:
    td = lab.td()
    td.aug(page(8, 300), GPA)
    td.aug(page(8, 301), GPA + SIZE_4K)
    td.block(GPA + SIZE_4K)
    states = [(row[0], row[2]) for row in td_sept(lab) if row[1] == 0]
    assert states == [(hex(GPA), "PENDING"), (hex(GPA + SIZE_4K), "PENDING_BLOCKED")]


def td_sept(lab: Lab) -> list[list[object]]:
    tds = lab.state()["tds"]
    assert isinstance(tds, dict)
    sept = tds[hex(TDR)]["sept"]
    assert isinstance(sept, list)
    return sept


def test_reserved_pages_are_left_out_of_the_bitmap() -> None:
    lab = Lab(tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(256), 2 * SIZE_4K),))])
    lab.donated = 2
    lab.pair(0)
    assert lab.state()["bitmap"] == [hex(page(256, 2)), hex(page(256, 3))]


def test_host_priority_is_listed_wherever_it_can_be(lab: Lab) -> None:
    td = lab.td()
    td.aug(NEW)
    tdcs = td.structure.tdcs
    locks = (lab.block.entry_1g, lab.node(8), lab.node(0), lab.entry(TDR))
    for lock in (*locks, tdcs.op_state_lock, tdcs.secure_ept_lock):
        assert lock.acquire_ex()
        assert not lock.acquire_ex()
        lock.release_ex()
    assert tdcs.sept is not None
    entry = tdcs.sept.walk(GPA, 0)[0]
    assert entry.lock_host()
    assert not entry.lock_host()
    entry.unlock()
    names = [
        f"PAMT_1G[{BASE:#x}]",
        f"PAMT_2M[{page(8):#x}]",
        f"PAMT_2M[{page(0):#x}]",
        f"PAMT_4K[{TDR:#x}]",
        f"OP_STATE[{TDR:#x}]",
        f"SEPT_TREE[{TDR:#x}]",
        f"SEPTE[{TDR:#x},{GPA:#x},0]",
    ]
    assert snapshot(lab.module)["hp"] == sorted(names)
    assert sorted(host_priority_locks(lab.module)) == sorted(names)


def test_entries_of_a_pair_that_is_gone_are_not_listed(lab: Lab) -> None:
    lab.pair(0)
    entry = lab.entry(page(0, 3))
    assert entry.acquire_ex()
    assert not entry.acquire_ex()
    entry.release_ex()
    assert lab.host_priority() == [entry.name]
    lab.unpair(0)
    assert lab.host_priority() == []


def test_without_dynamic_pamt_only_locks_and_keys_are_listed() -> None:
    lab = Lab(dynamic=False)
    lab.td().aug(page(0), level=1)
    entry = lab.entry(TDR)
    assert entry.acquire_ex()
    assert not entry.acquire_ex()
    state = snapshot(lab.module)
    assert state["pages"] == []
    assert state["tds"] == {}
    assert state["hp"] == [f"PAMT_4K[{TDR:#x}]"]
    assert state["kot"] == {"40": ["ASSIGNED", 0]}


def test_used_pages_and_tdrs_come_by_address(lab: Lab) -> None:
    lab.td(Stage.CREATED, home=9, hkid=41)
    lab.td(Stage.CREATED, home=8)
    lab.ok("MNG.CREATE", rcx=page(9, 400), rdx=42)
    hpas = [page(8), page(9), page(9, 400)]
    assert [entry.hpa for entry in used_pages(lab.module)] == hpas
    assert [tdr.hpa for tdr in all_tdrs(lab.module)] == hpas


def test_flushed_keys_show_the_packages_that_have_to_write_back(lab: Lab) -> None:
    lab.td(Stage.KEYS)
    lab.ok("MNG.VPFLUSHDONE", rcx=TDR)
    assert lab.state()["kot"] == {"40": ["FLUSHED", 1]}
    lab.ok("PHYMEM.CACHE.WB")
    assert lab.state()["kot"] == {"40": ["FLUSHED", 0]}
