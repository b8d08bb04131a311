"""Errors of a library that show seldom: at one page, at the ends of memory, late, on one LP."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler
from target_libraries import SOURCES, build_text
from tdxfuzz.targets.library.diff import Diff, Found
from tdxfuzz.targets.library.known import Known
from tdxfuzz.targets.library.process import Library
from tiers import only_quick

pytestmark = needs_compiler

HINT = "return before == 1 ? REMOVAL_HINT : 0;"
IS_BAD = "hpa & hkid_mask || hpa >> MAX_PA;\n}\n\nstatic int is_bad_shared"
RESUME = "\t\tblock = writeback[package].next;\n"
IS_NEW = "\t\tregs[TDXT_RDX] = owner_at(&walk) << 12;\n"

ERRORS = {
    "one page in 512": (IS_NEW, f"{IS_NEW}\t\tregs[TDXT_R8] |= (u64)((hpa >> 12) % 512 == 77);\n"),
    "many pages in use": (HINT, HINT.replace("== 1", "== 1 || before > 60")),
    "the highest address": (IS_BAD, IS_BAD.replace("MAX_PA;", "MAX_PA || hpa == highest(size);")),
    "the last HKID": ("hkid <= world.private_hkid_max;\n}", "hkid < world.private_hkid_max;\n}"),
    "reserved bits of RAX": ("if (rax >> 24 || (call->version", "if ((call->version"),
    "a number of four digits": ("u64 leaf = rax & 0xffff;", "u64 leaf = rax & 0xfff;"),
    "resumed twice on LP 1": (RESUME, f"{RESUME}\t\tblock += call->lp == 1 && block == 2;\n"),
    "many calls since boot": (
        "\t*rax = dispatch(&call, *rax);\n",
        "\t*rax = dispatch(&call, *rax);\n\tregs[TDXT_RSI] |= (u64)(++calls > 600);\n",
    ),
    "a cache outlives a reset": (
        "memset(writeback, 0, sizeof(writeback));",
        "memset(&writeback[0], 0, sizeof(writeback[0]));",
    ),
}
"""A change of the reference library each: what was there, and what is there instead."""

FOUND_AS = {"a cache outlives a reset": "reset"}
OLD = "static int is_bad_hpa("
HIGHEST = (
    f"static u64 highest(u64 size)\n{{\n\treturn (1ull << world.hkid_low_bit) - size;\n}}\n\n{OLD}"
)
MORE = {
    "many calls since boot": (
        ("static enum state state;", "static enum state state;\nstatic u64 calls;"),
        ("\tstate = INIT_PENDING;\n", "\tstate = INIT_PENDING;\n\tcalls = 0;\n"),
    ),
    "the highest address": ((OLD, HIGHEST),),
}
"""What a change needs elsewhere."""


@pytest.mark.parametrize("name", only_quick(["a number of four digits", "the last HKID"], ERRORS))
def test_an_error_that_shows_seldom_is_found(name: str, tmp_path: Path) -> None:
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    more = MORE.get(name, ())
    for old, new in (ERRORS[name], *more):
        assert old in text
        text = text.replace(old, new, 1)
    found: list[Found] = []
    with Library(build_text(tmp_path, text)) as library:
        diff = Diff(library, Known(), 1)
        while not found and diff.tally.trials < 5000:
            diff.run(50, None, found.append, lambda tally: None)
    assert found
    assert FOUND_AS.get(name, "") in found[0].divergence.field
