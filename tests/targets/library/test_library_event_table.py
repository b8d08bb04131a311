"""Which events a leaf has, in which order: what `tdxfuzz list events` says."""

from __future__ import annotations

import pytest

from commands import Invoke
from tiers import slow


def rows_of(invoke: Invoke, leaf: str) -> list[dict[str, object]]:
    rows = invoke("list", "events", leaf, "--format", "json").json["events"]
    assert isinstance(rows, list)
    return rows


@slow
def test_the_events_of_a_leaf_stand_in_their_order(invoke: Invoke) -> None:
    rows = rows_of(invoke, "PHYMEM.PAMT.ADD")
    assert {row["leaf"] for row in rows} == {"TDH.PHYMEM.PAMT.ADD"}
    first = [row for row in rows if row["way"] == 1]
    assert [row["step"] for row in first] == list(range(1, len(first) + 1))
    texts = [f"{row['op']} {row['mode']} {row['kind']} {row['of']}" for row in first]
    # The page of RDX is most often in the same gigabyte.
    assert texts[0] in ("ACQUIRE SHARED PAMT_1G RCX", "ACQUIRE SHARED PAMT_1G RCX/RDX")
    assert texts[1:3] == [
        "ACQUIRE SHARED PAMT_2M RCX",
        "PROMOTE EXCLUSIVE PAMT_2M RCX",
    ]
    assert "BIT_SET NO_MODE BITMAP RDX" in texts


@slow
def test_the_boot_has_events_too(invoke: Invoke) -> None:
    rows = rows_of(invoke, "TDH.SYS.LP.INIT")
    assert ("ADD", "+1", "NUM_INIT_LPS") in [(row["op"], row["mode"], row["kind"]) for row in rows]


@pytest.mark.parametrize(
    "name",
    ["13835066988814139392", "3221227552", "0xc000082000000000", "0xc0000820", "HKID_NOT_FREE"],
)
def test_a_status_is_looked_up_by_name_or_number(invoke: Invoke, name: str) -> None:
    assert invoke("list", "statuses", name, "--format", "json").json["statuses"] == [
        {"name": "HKID_NOT_FREE", "status": "0xc000082000000000", "class": "keys"}
    ]
