"""A layer of another make than the built-in designs: right and wrong variants of it, from the
command line.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c_layers import LAYERS, needs_compiler, write
from commands import Invoke
from tiers import SLOW_AND_LONG, only_quick

pytestmark = needs_compiler

PASS, FOUND, WRONG = 0, 1, 2

NOTE = "struct note { struct list_head list; u64 pfn; };\nstatic LIST_HEAD(notes);\n"
TABLE = "static u8 *hits;\n"
XARRAY = """static DEFINE_XARRAY(table);

static struct pamt_range *of(u64 pfn)
{
	struct pamt_range *range = xa_load(&table, pfn / PTRS_PER_PTE), *old;

	if (range)
		return range;
	range = kzalloc(sizeof(*range), GFP_ATOMIC);
	if (!range)
		return NULL;
	old = xa_cmpxchg(&table, pfn / PTRS_PER_PTE, NULL, range, GFP_ATOMIC);
	if (!old)
		return range;
	kfree(range);
	return old;
}
"""
XA_STORE = XARRAY.replace(
    "old = xa_cmpxchg(&table, pfn / PTRS_PER_PTE, NULL, range, GFP_ATOMIC)",
    "xa_store(&table, pfn / PTRS_PER_PTE, range, GFP_ATOMIC), old = NULL",
)

Parts = dict[str, str]
"""What takes the place of the comments in ranges.c, or of other text."""

VARIANTS: dict[str, tuple[Parts, int, str]] = {
    "as it is": ({}, PASS, "nothing found"),
    "an xarray": (
        {"before": XARRAY, "range = range_of(pfn)": "range = of(pfn)"},
        PASS,
        "nothing found",
    ),
    "an xarray that loses an entry": (
        {"before": XA_STORE, "range = range_of(pfn)": "range = of(pfn)"},
        FOUND,
        "bucket: ",
    ),
    "a lock taken twice": ({"locked": "spin_lock(&pamt_lock);"}, WRONG, "pamt_lock is taken twice"),
    "no unlock on one way out": (
        {"		range->users++;\n		spin_unlock(&pamt_lock);": "		range->users++;"},
        WRONG,
        r"pamt_lock is taken here and still held when tdx_pamt_get\(\) returns",
    ),
    "a freed object on a list": (
        {
            "before": NOTE,
            "locked": "struct note *note = kzalloc(sizeof(*note), GFP_ATOMIC);\n\n"
            "	list_add(&note->list, &notes);\n	kfree(note);\n	list_del(&note->list);",
        },
        WRONG,
        r"reads 8 bytes at heap\+0x\w+: outside of every object, or freed",
    ),
    "behind a table": (
        {
            "before": TABLE,
            "locked": "if (!hits)\n		hits = kzalloc(64, GFP_ATOMIC);\n	hits[64]++;",
        },
        WRONG,
        r"reads 1 bytes at heap\+0x\w+: outside of every object, or freed",
    ),
    "before an array": (
        {"before": "static int seen[8];", "locked": "seen[range->users - 1]++;"},
        WRONG,
        r"undefined behaviour \(UBSan",
    ),
    "NULL": (
        {
            "before": f"{NOTE}static struct note *last;",
            "get": "ret = (int)READ_ONCE(last)->pfn;",
        },
        WRONG,
        r"reads 8 bytes at address 0x10: a NULL pointer",
    ),
    "a loop that waits for nothing": (
        {"before": "static int flag;", "get": "while (!flag)\n		;"},
        WRONG,
        "an endless loop",
    ),
    "a loop that waits for ever": (
        {"before": "static int flag;", "get": "while (!READ_ONCE(flag))\n		cpu_relax();"},
        FOUND,
        "bucket: livelock",
    ),
    "recursion": (
        {
            "before": "static int down(int n)\n{\n	volatile char frame[64];\n\n	frame[0] = n;\n"
            "	return down(n + 1) + frame[0];\n}",
            "get": "ret = down(0);",
        },
        WRONG,
        "stack overflow",
    ),
    "division": (
        {"before": "static unsigned int zero;", "get": "ret = pfn / READ_ONCE(zero);"},
        WRONG,
        r"undefined behaviour \(UBSan",
    ),
    "the largest quotient": (
        {
            "before": "static int low = -2147483647 - 1, minus = -1;",
            "get": "ret = READ_ONCE(low) / READ_ONCE(minus);\n	WRITE_ONCE(low, ret);",
        },
        WRONG,
        "division by zero, or with a result that is too large",
    ),
    "a counter for statistics": (
        {"before": "static u64 gets;", "get": "gets++;"},
        FOUND,
        "bucket: data-race/-/-/gets",
    ),
    "a counter that may race": (
        {"before": "static u64 gets, puts;", "get": "data_race(gets++);",
         "put": "WRITE_ONCE(puts, READ_ONCE(puts) + 1);"},
        PASS,
        "nothing found",
    ),
    "GFP_KERNEL under a spinlock": (
        {"locked": "kfree(kmalloc(16, GFP_KERNEL));"},
        FOUND,
        "bucket: atomic-sleep",
    ),
    "a mutex under a spinlock": (
        {
            "before": "static DEFINE_MUTEX(slow);",
            "locked": "mutex_lock(&slow);\n	mutex_unlock(&slow);",
        },
        FOUND,
        "bucket: atomic-sleep",
    ),
    "RCU without an end": (
        {"before": "#include <linux/rcupdate.h>", "get": "rcu_read_lock();"},
        WRONG,
        r"returns inside of rcu_read_lock\(\), which begins here",
    ),
    "a page that is forgotten": (
        {"	give_back(phys_to_page(args.r8));\n": ""},
        FOUND,
        "bucket: page-leak",
    ),
    "a page that is freed twice": (
        {"after": "give_back(phys_to_page(args.rdx));"},
        FOUND,
        "bucket: page-owner",
    ),
    "no such function": ({"get": "tdx_frob(pfn);"}, WRONG, r"tdx_frob\(\) is not in"),
    "no such header": (
        {"before": "#include <linux/kthread.h>"},
        WRONG,
        r"linux/kthread\.h is not in",
    ),
    "a syntax error": ({"get": "ret = (1 + ;"}, WRONG, "expected expression"),
    "a wrong field": ({".put =": ".putt ="}, WRONG, "putt"),
    "no get": ({".get = tdx_pamt_get, ": ""}, WRONG, r"TDX_LAYER needs \.get or \.get_page"),
    "a get of another kind": (
        {"int tdx_pamt_get(u64 pfn,": "int tdx_pamt_get(u32 pfn,"},
        WRONG,
        "incompatible",
    ),
}  # fmt: skip
"""What is put in, the exit code of hunt, and what it says."""

QUICK = ("as it is", "NULL", "a counter for statistics", "no get")


def _text(parts: Parts) -> str:
    text = (LAYERS / "ranges.c").read_text(encoding="utf-8")
    text = text.replace(
        "#include <linux/mm.h>", "#include <linux/mm.h>\n#include <linux/rcupdate.h>"
    )
    for part, new in parts.items():
        old = f"/* {part} */" if f"/* {part} */" in text else part
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("what", only_quick(QUICK, VARIANTS, SLOW_AND_LONG))
def test_each_variant_gets_its_exit_code_and_its_line(
    what: str, tmp_path: Path, invoke: Invoke
) -> None:
    parts, code, said = VARIANTS[what]
    layer = write(tmp_path, _text(parts), "ranges.c")
    out = ("--out", tmp_path / "out")
    hunted = invoke("hunt", layer, "--seed", 1, "--cases", 2_000 if code == PASS else 300, *out)
    assert hunted.code == code, hunted
    told = hunted.err if code == WRONG else hunted.out
    assert re.search(said, told), told
    verified = invoke("verify", layer, "--scenario", "map-zap", *out)
    if code == WRONG:
        assert re.fullmatch(r"tdxfuzz: (ranges\.c:\d+: .*\n)+", told)
        assert (verified.code, verified.err) == (WRONG, told)
    else:
        assert verified.code in {PASS, code}


def test_a_layer_includes_helpers_and_a_file_of_the_tree(tmp_path: Path, invoke: Invoke) -> None:
    for folder in ("tree", "own"):
        (tmp_path / folder).mkdir()
    helper = "static inline u64 range_number(u64 pfn)\n{\n	return pfn / PTRS_PER_PTE;\n}\n"
    write(tmp_path / "own", f"#include <asm/page.h>\n{helper}", "helpers.h")
    code, glue, rest = _text({"locked": "BUG_ON(pfn == 0x100280);"}).partition("TDX_LAYER(")
    code = code.replace("pfn / PTRS_PER_PTE", "range_number(pfn)")
    write(tmp_path / "tree", f"#include <helpers.h>\n{code}", "pamt.c")
    layer = write(tmp_path, f'#include "tree/pamt.c"\n{glue}{rest}')
    answer = invoke("verify", layer, "-I", tmp_path / "own", "--scenario", "map-zap")
    assert answer.code == WRONG
    line = 1 + f"#include <helpers.h>\n{code}".partition("BUG_ON")[0].count("\n")
    place = f"tree/pamt.c:{line}"
    assert answer.err == f"tdxfuzz: {place}: BUG_ON(pfn == 0x100280): the kernel stops here\n"
