"""The key ownership table, and the way of an HKID through it."""

from __future__ import annotations

import pytest

from tdxfuzz.module.key_table import KeyTable, Kot
from tdxfuzz.module.platform import Platform
from tdxfuzz.sim import Simulator

from .lab import HKID, TDR, Lab, page


def test_all_private_hkids_are_free_but_the_modules_own() -> None:
    table = KeyTable(Simulator(1), Platform())
    assert list(table.entries) == list(range(32, 64))
    assert table.entries[32].state is Kot.RESERVED
    assert {table.entries[hkid].state for hkid in range(33, 64)} == {Kot.FREE}


def test_every_package_has_a_write_back_mutex() -> None:
    table = KeyTable(Simulator(1), Platform(packages=2))
    assert [entry.lock.name for entry in table.writeback] == ["WBT[0]", "WBT[1]"]
    assert table.lock.name == "KOT"


def key(lab: Lab) -> tuple[str, int]:
    entry = lab.module.keys.entries[HKID]
    return entry.state.value, entry.wbinvd_bitmap


def test_an_hkid_goes_from_free_to_assigned_to_flushed_and_back(lab: Lab) -> None:
    lab.pair(8)
    seen = [key(lab)]
    for leaf, operands in (
        ("MNG.CREATE", {"rcx": TDR, "rdx": HKID}),
        ("MNG.KEY.CONFIG", {"rcx": TDR}),
        ("MNG.VPFLUSHDONE", {"rcx": TDR}),
        ("PHYMEM.CACHE.WB", {}),
        ("MNG.KEY.FREEID", {"rcx": TDR}),
    ):
        lab.ok(leaf, **operands)
        seen.append(key(lab))
    assert seen == [
        ("FREE", 0),
        ("ASSIGNED", 0),
        ("ASSIGNED", 0),
        ("FLUSHED", 1),
        ("FLUSHED", 0),
        ("FREE", 0),
    ]


def test_a_freed_hkid_can_be_given_to_another_td(lab: Lab) -> None:
    lab.td().teardown()
    assert lab.call("MNG.CREATE", rcx=page(8, 100), rdx=HKID).text == "SUCCESS"


def test_every_package_has_to_write_back_its_own_cache() -> None:
    lab = Lab(cpus=2, platform=Platform(packages=2))
    lab.lps[1].package = 1
    lab.pair(8)
    lab.ok("MNG.CREATE", rcx=TDR, rdx=HKID)
    lab.ok("MNG.VPFLUSHDONE", rcx=TDR)
    assert key(lab) == ("FLUSHED", 0b11)
    lab.ok("PHYMEM.CACHE.WB", cpu=0)
    assert key(lab) == ("FLUSHED", 0b10)
    assert lab.call("MNG.KEY.FREEID", rcx=TDR).text == "WBCACHE_NOT_COMPLETE"
    lab.ok("PHYMEM.CACHE.WB", cpu=1)
    lab.ok("MNG.KEY.FREEID", rcx=TDR)


def test_every_package_has_to_configure_the_key() -> None:
    lab = Lab(cpus=2, platform=Platform(packages=2))
    lab.lps[1].package = 1
    lab.pair(8)
    lab.ok("MNG.CREATE", rcx=TDR, rdx=HKID)
    lab.ok("MNG.KEY.CONFIG", rcx=TDR)
    assert lab.call("MNG.KEY.CONFIG", rcx=TDR).text == "KEY_CONFIGURED"
    assert lab.module.tdr_at(TDR).lifecycle.name == "HKID_ASSIGNED"
    lab.ok("MNG.KEY.CONFIG", cpu=1, rcx=TDR)
    assert lab.module.tdr_at(TDR).lifecycle.name == "KEYS_CONFIGURED"


@pytest.mark.parametrize("hkid", [33, 63])
def test_the_first_and_last_private_hkid_can_be_assigned(lab: Lab, hkid: int) -> None:
    lab.pair(8)
    lab.ok("MNG.CREATE", rcx=TDR, rdx=hkid)
    assert lab.state()["kot"] == {str(hkid): ["ASSIGNED", 0]}
