"""Each check finds the mistake it is there for, and says what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from broken_designs import (
    CountsTooLow,
    Dirty,
    FailsForNoReason,
    FreesInUse,
    FreesTwice,
    HoldsModuleLock,
    KeepsSpare,
    LocksBothWays,
    LosesBitmapBit,
    MiscountsPages,
    NeverCountsDown,
    NoPair,
    RemovesEarly,
    Warns,
)
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.check import CHECKS
from tdxfuzz.check.finding import Finding
from tdxfuzz.check.unexpected_status import kind_of
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.host import Host
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.under import under
from tdxfuzz.run.session import run
from tdxfuzz.sim import Schedule
from tiers import slow

ALONE = World(cpus=1, tds=1, slots=1)


def alone(*texts: str) -> Case:
    return Case("Broken", ALONE, (), (tuple(map(Op.parse, texts)),))


LIFE = alone("create 0", "map 0 0", "zap 0 0", "destroy 0")

EXPECTED: list[tuple[type[RefcountLayer], Case, str, str]] = [
    (KeepsSpare, LIFE, "page-leak/-/-/PAMT page", "but no owner will free it"),
    (Dirty, LIFE, "page-owner/-/-/unscrubbed PAMT page", "is freed unscrubbed"),
    (FreesTwice, LIFE, "page-owner/-/-/double free", "is freed, but it is not allocated"),
    (FreesInUse, LIFE, "page-owner/-/-/PAMT page", "while the module uses it as PAMT page"),
    (NeverCountsDown, LIFE, "refcount/-/-/too high", "at rest, with 0 holders"),
    (CountsTooLow, LIFE, "refcount/-/-/negative", "is -1"),
    (Warns, LIFE, "unexpected-status/Warns/WARN/I do not like this", "I do not like this"),
    (
        RemovesEarly,
        LIFE,
        "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/PAMT_PAGE_NOT_EMPTY/-",
        "which the design does not handle",
    ),
    (FailsForNoReason, LIFE, "unexpected-status/get/-EIO/-", "although memory is left"),
    (NoPair, LIFE, "pamt-in-use/TDH.PHYMEM.PAMT.ADD/not called/range", "has no pair"),
    (MiscountsPages, LIFE, "module-fatal/TDH.PHYMEM.PAMT.REMOVE/FATAL_343/module", "shut down"),
    (MiscountsPages, alone("create 0"), "module-state/-/-/page_count", "are in use"),
    (LosesBitmapBit, alone("create 0"), "module-state/-/-/bitmap", "its bitmap bit is clear"),
    (HoldsModuleLock, LIFE, "lock-leak/-/-/PAMT_1G", "is still held"),
]


@pytest.mark.parametrize(
    ("layer", "case", "bucket", "message"), EXPECTED, ids=lambda value: getattr(value, "id", None)
)
def test_a_mistake_is_found_with_its_bucket(
    layer: type[RefcountLayer], case: Case, bucket: str, message: str
) -> None:
    finding = run(case, layer).finding
    assert finding is not None
    assert finding.bucket == bucket
    assert message in finding.message


def test_a_reference_that_a_path_forgets_to_put_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count agrees with the holders; but one of them is a page long gone."""
    put = Host.put

    def forgetful(host: Host, pfn: int, kind: str, hint: bool = False) -> None:
        if kind != "guest page":
            put(host, pfn, kind, hint)

    monkeypatch.setattr(Host, "put", forgetful)
    finding = run(evolve(LIFE, design="merged")).finding
    assert finding is not None
    assert finding.bucket == "refcount/-/-/forgotten"
    assert "guest page A0 is not in use any more" in finding.message


class FreesThenPuts(Kvm):
    """A sketch in the review of the RFC: free the S-EPT page, then put its reference."""

    def free_control_page(self, pfn: int, kind: str, hint: bool = False) -> None:
        self.host.pages.free_page(pfn)
        self.host.put(pfn, kind, hint)


def test_a_page_freed_before_its_put_is_found() -> None:
    finding = run(evolve(LIFE, design="merged"), under(Merged, FreesThenPuts)).finding
    assert finding is not None
    assert finding.bucket == "page-owner/-/-/freed before put"


@slow
def test_a_cycle_of_waiting_is_found_and_its_bucket_names_kinds_of_locks() -> None:
    world = World(cpus=2, tds=2, slots=1)
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0")))
    programs = ((Op.parse("zap 0 0"),), (Op.parse("map 1 0"),))
    case = Case("Broken", world, setup, programs, checks=("deadlock",))
    assert run(case, LocksBothWays).finding is None, "in turn, nothing happens"
    found = {
        finding.bucket
        for step in range(200)
        if (finding := run(case.with_schedule(Schedule.of([(step, 1)])), LocksBothWays).finding)
    }
    assert found == {"deadlock/-/-/a b"}


def test_every_check_is_shown_to_fire() -> None:
    shown = {bucket.partition("/")[0] for _, _, bucket, _ in EXPECTED} | {"deadlock"}
    for check in set(CHECKS) - shown:
        own = Path(__file__).with_name(f"test_check_{check.replace('-', '_')}.py")
        assert own.is_file(), f"nothing shows {check} firing"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("refcount of 0x100000 is -3", "refcount of N is -N"),
        ("<Pair object at 0x7f00deadbeef>", "<Pair object at N>"),
        ("page 1000ab00 is held", "page N is held"),
        ("PAMT.ADD failed: OPERAND_BUSY|R8", "PAMT.ADD failed: OPERAND_BUSY"),
        ("a/b  failed", "a b failed"),
        ("", "-"),
    ],
)
def test_a_warn_is_known_by_its_text_without_numbers_and_addresses(message: str, kind: str) -> None:
    assert kind_of(message) == kind


def test_files_from_before_call_all_warns_of_a_design_one_bucket() -> None:
    found = Finding("unexpected-status", "Mine", "WARN", "no pair", 3, 0, "Mine: no pair")
    assert found.is_in("unexpected-status/Mine/WARN/no pair")
    assert found.is_in("unexpected-status/Mine/WARN/-")
    assert not found.is_in("unexpected-status/Mine/WARN/no page")
    refused = Finding("unexpected-status", "get", "ENOMEM", "page", 3, 0, "get failed")
    assert not refused.is_in("unexpected-status/get/ENOMEM/-")
