"""``tdxfuzz memory``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.out_folder import keep, probe
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.words import counted
from tdxfuzz.survey.memory_chart import human, memory_chart
from tdxfuzz.survey.memory_cost import PAIR, Cost, Td, TdmrSize, cost

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}
BAR = 48


class ByteSize(click.ParamType[int]):
    """A number of bytes, as in 512MiB, 256GB or 1T. All units are powers of 1024."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?", str(value), re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is not a size; write 512MiB, 256GB or 1TiB", param, ctx)
        return int(float(match.group(1)) * (1 << _UNITS[match.group(2).upper()]))


class Range(click.ParamType[TdmrSize]):
    """BASE:SIZE of a TDMR: whole GB, as the module wants it."""

    name = "base:size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> TdmrSize:
        base, colon, size = str(value).partition(":")
        if not colon:
            self.fail(f"{value!r} is not a TDMR; write BASE:SIZE, as in 4GiB:60GiB", param, ctx)
        tdmr = TdmrSize(ByteSize().convert(base, param, ctx), ByteSize().convert(size, param, ctx))
        if tdmr.base % SIZE_1G or tdmr.size % SIZE_1G or not tdmr.size:
            self.fail(f"{value!r}: base and size of a TDMR must be multiples of 1GiB", param, ctx)
        return tdmr


@click.command("memory", epilog="Example: tdxfuzz memory --ram 1TiB --tds 10 --td-memory 16GiB")
@click.option("--ram", type=ByteSize(), required=True, help="Memory of the machine: 256GB, 1TiB.")
@click.option(
    "--tdmr",
    "tdmrs",
    type=Range(),
    multiple=True,
    metavar="BASE:SIZE",
    help="A TDMR; repeat for several [default: one for all memory].",
)
@click.option(
    "--max-pa",
    type=click.IntRange(30, 52),
    help="Address bits that reference counts cover [default: up to the end of memory].",
)
@click.option(
    "--tds", type=click.IntRange(min=0), default=0, show_default=True, help="Number of TDs."
)
@click.option("--td-memory", type=ByteSize(), help="Memory of each TD, all of it mapped.")
@click.option(
    "--huge",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The part of that memory that is mapped at 2MB.",
)
@click.option(
    "--vcpus", type=click.IntRange(min=0), default=1, show_default=True, help="vCPUs of each TD."
)
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a chart there, over the number of TDs.",
)
@format_option
def memory_command(
    ram: int,
    tdmrs: tuple[TdmrSize, ...],
    max_pa: int | None,
    tds: int,
    td_memory: int | None,
    huge: float,
    vcpus: int,
    svg: Path | None,
    as_json: bool,
) -> int:
    """Calculate how much memory PAMT needs on a machine: static and dynamic.

    Static PAMT has 16 bytes for each 4KB, 2MB and 1GB page. Dynamic PAMT replaces the entries
    of 4KB pages by a bitmap, and the host keeps a reference count for each 2MB range. Each
    2MB range that is used at 4KB then has a pair: two pages for its 4KB entries.
    """
    if ram <= 0:
        raise UsageProblem("--ram must be more than 0")
    if tds and td_memory is None:
        raise UsageProblem("--tds needs --td-memory, the memory of each TD")
    if svg is not None and not tds:
        raise UsageProblem("--svg draws the cost over TDs, so it needs --tds and --td-memory")
    if td_memory is not None and max(tds, 1) * td_memory > ram:
        raise UsageProblem(
            f"--td-memory: {counted(max(tds, 1), 'TD')} with {human(td_memory)} need more than the "
            f"{human(ram)} of --ram"
        )
    if svg is not None:
        probe(svg.parent)
    td = None if td_memory is None else Td(td_memory, huge, vcpus)
    paid = cost(ram, tdmrs, max_pa or 0, tds or (1 if td else 0), td)
    output = Output(as_json)
    rows = [
        ("static PAMT", paid.static_total),
        ("  4KB entries", paid.static[LEVEL_4K]),
        ("  2MB entries", paid.static[LEVEL_2M]),
        ("  1GB entries", paid.static[LEVEL_1G]),
        ("dynamic PAMT, no TD yet", paid.dynamic_total),
        ("  bitmap", paid.dynamic[LEVEL_4K]),
        ("  2MB entries", paid.dynamic[LEVEL_2M]),
        ("  1GB entries", paid.dynamic[LEVEL_1G]),
        ("  reference counts", paid.refcounts),
    ]
    if td is not None:
        rows += [
            ("pairs of TDs, at least", paid.pairs * PAIR),
            ("pairs of TDs, at most", paid.pairs_most * PAIR),
        ]
    output.table(
        ("", "bytes", "", "of memory"),
        [(name, value, human(value), f"{paid.percent(value):.4f} %") for name, value in rows],
    )
    covered = sum(tdmr.size for tdmr in tdmrs)
    if covered - ram >= SIZE_1G:
        output.line(
            f"The TDMRs are larger than the memory: {human(covered)}, not {human(ram)}. Static "
            "PAMT is for all of them, because a TDMR has entries for its holes, too."
        )
    output.line()
    for line in picture(paid):
        output.line(line)
    output.json(_document(paid, td))
    if svg is not None and td is not None:
        keep(memory_chart(ram, tdmrs, max_pa or 0, tds, td), svg, output)
    return 0


def picture(paid: Cost) -> list[str]:
    """Bars of one scale: static PAMT, and dynamic PAMT with its pairs."""
    bars = [
        ("static", [("█", paid.static_total)]),
        ("dynamic", [("█", paid.dynamic_total), ("▓", paid.pairs * PAIR)]),
    ]
    if paid.pairs_most > paid.pairs:
        bars[1][1].append(("░", (paid.pairs_most - paid.pairs) * PAIR))
    most = max(sum(amount for _, amount in parts) for _, parts in bars)
    lines = []
    for name, parts in bars:
        shown = "".join(mark * max(round(BAR * n / most), n > 0) for mark, n in parts)
        lines.append(f"{name:8} {shown} {human(sum(amount for _, amount in parts))}")
    if paid.pairs:
        lines.append(f"{'':8} █ before the first TD  ▓ pairs, at least  ░ and at most")
    return lines


def _document(paid: Cost, td: Td | None) -> Mapping[str, object]:
    document: dict[str, object] = {
        "ram_bytes": paid.ram,
        "static": {
            "pamt_4k": paid.static[LEVEL_4K],
            "pamt_2m": paid.static[LEVEL_2M],
            "pamt_1g": paid.static[LEVEL_1G],
            "total": paid.static_total,
            "percent": paid.percent(paid.static_total),
        },
        "dynamic": {
            "bitmap": paid.dynamic[LEVEL_4K],
            "pamt_2m": paid.dynamic[LEVEL_2M],
            "pamt_1g": paid.dynamic[LEVEL_1G],
            "refcounts": paid.refcounts,
            "refcounts_sparse": paid.refcounts_sparse,
            "total": paid.dynamic_total,
            "percent": paid.percent(paid.dynamic_total),
        },
    }
    if td is not None:
        document["runtime"] = {
            "pairs": paid.pairs,
            "pairs_most": paid.pairs_most,
            "bytes": paid.pairs * PAIR,
            "bytes_most": paid.pairs_most * PAIR,
            "percent": paid.percent(paid.pairs * PAIR),
        }
    return document
