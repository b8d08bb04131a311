"""``tdxfuzz memory``."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from commands import Invoke
from golden_files import check_golden


def test_the_text_reads_as_it_should(invoke: Invoke) -> None:
    options = ("--tds", 10, "--td-memory", "16GiB", "--huge", 0.5)
    answer = invoke("memory", "--ram", "1TiB", *options)
    assert answer.code == 0
    check_golden("memory.txt", answer.out)


def test_the_keys_that_scripts_rely_on(invoke: Invoke) -> None:
    document = invoke("memory", "--ram", "256GB", "--td-memory", "5G", "--format", "json").json
    assert document["ram_bytes"] == 1 << 38
    assert document["static"] == {
        "pamt_4k": 1 << 30,
        "pamt_2m": 2 << 20,
        "pamt_1g": 4096,
        "total": (1 << 30) + (2 << 20) + 4096,
        "percent": pytest.approx(0.3914, rel=0.001),
    }
    dynamic = document["dynamic"]
    assert isinstance(dynamic, dict)
    assert {"bitmap", "pamt_2m", "pamt_1g", "refcounts", "total", "percent"} <= set(dynamic)
    parts = ("bitmap", "pamt_2m", "pamt_1g", "refcounts")
    assert dynamic["total"] == sum(dynamic[part] for part in parts)
    runtime = document["runtime"]
    assert isinstance(runtime, dict)
    assert runtime["bytes"] == runtime["pairs"] * 8192


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ram", "much"), "'much' is not a size; write 512MiB, 256GB or 1TiB"),
        (("--ram", "0"), "--ram must be more than 0"),
        (("--ram", "1T", "--tds", 2), "--tds needs --td-memory"),
        (("--ram", "1T", "--tdmr", "1G"), "'1G' is not a TDMR; write BASE:SIZE"),
        (("--ram", "1T", "--tdmr", "1G:1M"), "base and size of a TDMR must be multiples of 1GiB"),
        (("--ram", "1T", "--svg", "x.svg"), "--svg draws the cost over TDs, so it needs --tds"),
        (
            ("--ram", "64G", "--tds", 5, "--td-memory", "16G"),
            "--td-memory: 5 TDs with 16 GiB need more than the 64 GiB of --ram",
        ),
        (("--ram", "1G", "--td-memory", "2G"), "1 TD with 2 GiB need more"),
        (("--ram", "1T", "--huge", 2), "is not in the range 0<=x<=1"),
        ((), "Missing option '--ram'"),
    ],
)
def test_what_is_wrong_is_said(invoke: Invoke, options: tuple[object, ...], said: str) -> None:
    answer = invoke("memory", *options)
    assert answer.code == 2
    assert said in answer.err


def test_tdmrs_larger_than_the_memory_are_told(invoke: Invoke) -> None:
    large = invoke("memory", "--ram", "64GiB", "--tdmr", "0:100GiB")
    assert "The TDMRs are larger than the memory: 100 GiB, not 64 GiB." in large.out
    as_large = invoke("memory", "--ram", "64GiB", "--tdmr", "0:2GiB", "--tdmr", "4GiB:62GiB")
    assert (as_large.code, "larger" in as_large.out) == (0, False)


def test_the_chart_has_a_line_for_each_way_to_pay(invoke: Invoke) -> None:
    options = ("--ram", "1TiB", "--tds", 40, "--td-memory", "16GiB", "--huge", 0.5)
    assert invoke("memory", *options, "--svg", "chart.svg").code == 0
    root = ElementTree.parse("chart.svg").getroot()
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("static", "dynamic, all at 4KB", "dynamic, 50% at 2MB", "40"):
        assert name in texts
    lines = [
        [float(point.split(",")[1]) for point in line.get("points", "").split()]
        for line in root.iter("{http://www.w3.org/2000/svg}polyline")
    ]
    static, small, half = lines
    assert static[0] == static[1]
    # Upwards is less: what is at 2MB needs no pairs, and static PAMT is the dearest of all.
    assert small[0] == half[0] > half[1] > small[1] > static[0]
