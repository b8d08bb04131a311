"""What can be wrong with a layer in C is said in one line, with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c_layers import DONE, GLUE, needs_clang, needs_compiler, text_of, write
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design_file import DesignFileError, class_in
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.session import run
from tiers import slow

pytestmark = needs_compiler

CASE = SCENARIOS["map-zap"].case("C")

BUILD = {
    "a syntax error": (text_of(get="	int x = ;"), r"^layer\.c:\d+: expected expression"),
    "no such function": (
        text_of(get="	frobnicate(pfn);"),
        r"^layer\.c:\d+: frobnicate\(\) is not in tdxfuzz's kernel headers; add it with --shim DIR",
    ),
    "a header left out": (
        text_of(get="	complete_all(NULL);"),
        r"^layer\.c:\d+: complete_all\(\) needs #include <linux/completion\.h>",
    ),
    "no such name": (text_of(get="	ret = SOME_FLAG;"), r"^layer\.c:\d+: SOME_FLAG is not in"),
    "no such header": (
        text_of(before="#include <linux/kthread.h>"),
        r"^layer\.c:\d+: linux/kthread\.h is not in",
    ),
    "declared only": (
        text_of(before="int elsewhere(void);", get="	ret = elsewhere();"),
        r"^layer\.c:\d+: elsewhere is not in",
    ),
    "a function of the C library": (
        text_of(before="int puts(const char *);", get='	puts("x");'),
        r"^layer\.c:\d+: puts is not in",
    ),
    "a wrong signature": (
        text_of(replace=[(".put = tdx_pamt_put", ".put = tdx_pamt_get")]),
        r"^layer\.c:\d+: .*incompatible pointer type",
    ),
    "no glue": (text_of().partition(GLUE)[0], r"layer\.c: there is no TDX_LAYER"),
    "no put": (
        text_of(replace=[(".put = tdx_pamt_put,", "")]),
        r"^layer\.c:\d+: TDX_LAYER needs \.put or \.put_page or \.put_hint, and only one",
    ),
    "no such status": (
        text_of(glue='.tolerates = "OPERAND_BUZY",'),
        r"^layer\.c:\d+: TDX_LAYER \.tolerates: there is no status OPERAND_BUZY",
    ),
    "too large a cache": (
        text_of(glue=".cache_pages = 1000,"),
        r"^layer\.c:\d+: TDX_LAYER \.cache_pages: 1000 is not in 0\.\.256",
    ),
    "inline assembly": (
        text_of(get='	asm volatile("lock; incl %0" : "+m" (ret));'),
        r"^layer\.c:\d+: inline assembly \(lock",
    ),
    "assembly of the file": (
        text_of(before='__asm__(".globl foo\\nfoo: ret");'),
        r"^layer\.c:?\d*: inline assembly \(",
    ),
    "a function that is not watched": (
        text_of(before="__attribute__((no_sanitize_thread)) static void f(void) {}"),
        r"^layer\.c:\d+: no_sanitize_thread: what such a function does is not seen",
    ),
    "a function that wants not to be": (
        text_of(before='__attribute__((no_sanitize("thread"))) static void f(void) {}'),
        r"^layer\.c:\d+: no_sanitize: what such a function does is not seen",
    ),
    "an empty file": ("", r"layer\.c: there is no TDX_LAYER"),
    "no C at all": ("\0\1\2\3", r"^layer\.c:1: "),
}
"""What is wrong with a file, and what is said of it."""

RUNS = {
    "NULL is read": ("	ret = *(volatile int *)NULL;", r"reads 4 bytes at NULL: a NULL pointer"),
    "NULL is called": (
        "	{ void (*volatile f)(void) = NULL; f(); }",
        r"crash \(SIGSEGV\) at NULL",
    ),
    "memory of somebody else": (
        "	*(volatile int *)0x123456789000 = 1;",
        r"writes 4 bytes at address 0x123456789000: not memory of the layer",
    ),
    "a loop with nothing in it": ("	for (;;)\n		;", "an endless loop"),
    "a loop that reads": (
        "	for (;;)\n		ret += *(int *)pamt_refcounts;",
        "an endless loop",
    ),
    "a loop that prints": ('	for (;;)\n		pr_info("x");', "an endless loop"),
    "recursion without end": (
        "	{ int deep(int n); ret = deep(0); }",
        r"stack overflow: more than 64 KB in use",
    ),
    "a large frame": (
        "	{ volatile char b[1 << 20]; b[pfn & 3] = 1; ret = b[0]; }",
        r"stack overflow",
    ),
    "a shift too far": (
        "	{ volatile int n = 77; ret = 1 << n; }",
        r"undefined behaviour \(UBSan",
    ),
    "behind an array": (
        "	{ static int a[4]; volatile int n = 7; ret = a[n]; }",
        r"undefined behaviour \(UBSan",
    ),
    "division by zero": (
        "	{ volatile int n = 0; ret = 1 / n; }",
        r"undefined behaviour \(UBSan",
    ),
    "behind the counters": (
        "	ret = atomic_read(pamt_refcounts + 2056);",
        r"reads 4 bytes at heap\+0x\w+: outside of every object, or freed",
    ),
    "freed memory": (
        "	{ int *p = kmalloc(8, GFP_ATOMIC); kfree(p); *p = 1; }",
        r"writes 4 bytes at heap\+0x\w+: outside of every object, or freed",
    ),
    "freed twice": (
        "	{ int *p = kmalloc(8, GFP_ATOMIC); kfree(p); kfree(p); }",
        r"kfree\(\) of heap\+0x\w+, which is not allocated",
    ),
    "a struct page beyond max_pfn": (
        "	pfn_to_page(max_pfn)->private = 1;",
        r"writes 8 bytes at .*: no struct page: the PFN is not below max_pfn",
    ),
    "a page of somebody else": (
        "	*(int *)pfn_to_kaddr(pfn) = 1;",
        r"writes 4 bytes at page \w+: a page that is not the layer's",
    ),
    "9 MB at once": (
        "	kfree(kmalloc(9 << 20, GFP_ATOMIC));",
        r"of 9437184 bytes: a layer has 32 MB of heap here, and one object at most 8 MB",
    ),
    "too many callbacks": (
        "	for (int i = 0; i < 65; i++)\n		tdxc_after(NULL, NULL, NULL);",
        r"one call leaves more than 64 callbacks of RCU to be done",
    ),
    "interrupts of the caller": (
        "	local_bh_enable();",
        r"local_bh_enable\(\) without local_bh_disable\(\)",
    ),
    "BUG_ON": ("	BUG_ON(pfn);", r"BUG_ON\(pfn\): the kernel stops here"),
    "lockdep": (
        "	lockdep_assert_held(&dpamt_lock);",
        r"lockdep_assert_held\(dpamt_lock\) fails",
    ),
    "a lock that is not held": (
        "	spin_unlock(&dpamt_lock);",
        r"dpamt_lock is given up, but CPU 0 does not hold it",
    ),
    "no such page": (
        "	__free_page((struct page *)0x1234);",
        r"__free_page\(\) of address 0x1234, which is not allocated",
    ),
}
"""What get does, and what is said of it; the place comes first."""

OTHERS = {
    "a missing unlock": (
        text_of(replace=[(f"{DONE}	spin_unlock(&dpamt_lock);", DONE)]),
        r"^layer\.c:\d+: dpamt_lock is taken here and still held when tdx_pamt_get\(\) returns",
    ),
    "preemption stays off": (
        text_of(get="	preempt_disable();"),
        r"^layer\.c:\d+: tdx_pamt_get\(\) returns inside of preempt_disable\(\), which begins here",
    ),
    "interrupts stay off": (
        text_of(get="	local_irq_disable();"),
        r"^layer\.c:\d+: interrupts are turned off here and still off when tdx_pamt_get\(\)",
    ),
    "init fails": (
        text_of(
            before="static int fails(void) { return -EINVAL; }",
            replace=[("tdx_layer_init", "fails")],
        ),
        r"^layer\.c:\d+: fails\(\) returned -22",
    ),
    "no count there": (
        text_of(
            before="static atomic_t *nowhere(u64 pfn) { return (atomic_t *)(pfn & 4096); }",
            replace=[(".refcount = tdx_find_pamt_refcount", ".refcount = nowhere")],
        ),
        r"^layer\.c:\d+: nowhere\(0x\w+\) gives .*, which is no atomic_t of the layer",
    ),
    "looking for a count changes something": (
        text_of(
            before="static DEFINE_SPINLOCK(own);\n"
            "static atomic_t *busy(u64 pfn) { spin_lock(&own); return NULL; }",
            replace=[(".refcount = tdx_find_pamt_refcount", ".refcount = busy")],
        ),
        r"busy\(\) is asked where a count is; it must do nothing else",
    ),
}

DEEP = """
int deep(int n);
int deep(int n) { char b[100]; memset(b, n, 100); return deep(n + 1) + b[n % 100]; }
"""


@pytest.mark.parametrize("what", BUILD)
def test_a_file_that_cannot_be_built_is_one_line(what: str, tmp_path: Path) -> None:
    text, said = BUILD[what]
    with pytest.raises(DesignFileError) as problem:
        class_in(write(tmp_path, text))
    assert re.search(said, str(problem.value)), problem.value
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("what", RUNS)
def test_code_that_goes_wrong_is_one_line_with_its_place(what: str, tmp_path: Path) -> None:
    get, said = RUNS[what]
    layer = class_in(write(tmp_path, text_of(before=DEEP, get=get)))
    with pytest.raises(DesignError) as problem:
        run(CASE, layer)
    assert re.search(rf"^layer\.c:\d+: .*{said}", str(problem.value)), problem.value
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("what", OTHERS)
def test_rules_of_calls_are_held(what: str, tmp_path: Path) -> None:
    text, said = OTHERS[what]
    layer = class_in(write(tmp_path, text))
    with pytest.raises(DesignError) as problem:
        run(CASE, layer)
    assert re.search(said, str(problem.value)), problem.value


def test_further_errors_of_a_build_are_one_line_each(tmp_path: Path) -> None:
    text = text_of(get="	frobnicate(pfn);", put="	ret = 1;")
    with pytest.raises(
        DesignFileError, match=r"^layer\.c:\d+: frobnicate\(\) is not in"
    ) as problem:
        class_in(write(tmp_path, text))
    assert re.fullmatch(r"layer\.c:\d+: ret is not in [^\n]*", problem.value.details)


def test_a_function_is_told_by_the_line_with_its_name(tmp_path: Path) -> None:
    """Its code, which is all that a compiler tells of, begins below."""
    text = text_of(
        before="static int fails(void)\n\n{\n\n	return -EINVAL;\n}",
        replace=[("tdx_layer_init", "fails")],
    )
    line = 1 + text.partition("static int fails")[0].count("\n")
    with pytest.raises(DesignError, match=rf"^layer\.c:{line}: fails\(\) returned -22"):
        run(CASE, class_in(write(tmp_path, text)))


def test_a_path_with_spaces_is_told_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    with pytest.raises(DesignFileError, match=r"^my layer\.c:\d+: frobnicate\(\) is not in"):
        class_in(write(folder, text_of(get="	frobnicate(pfn);"), "my layer.c"))
    assert class_in(write(folder, text_of(), "my layer.c")).__name__ == "MyLayer"


def test_sleeping_is_told_with_its_reason(tmp_path: Path) -> None:
    reasons = {
        "	preempt_disable();\n	might_sleep();\n	preempt_enable();": "with preemption off",
        "	spin_lock(&dpamt_lock);\n	kmalloc(8, GFP_KERNEL);\n	spin_unlock(&dpamt_lock);": (
            "kmalloc(GFP_KERNEL) with dpamt_lock held"
        ),
    }
    for get, reason in reasons.items():
        ended = run(CASE, class_in(write(tmp_path, text_of(get=get))))
        assert ended.finding is not None
        assert ended.finding.check == "atomic-sleep"
        assert reason in ended.finding.message


def test_a_crash_in_init_is_told_too(tmp_path: Path) -> None:
    text = text_of(
        before="static int loops(void) { for (;;) ; return 0; }",
        replace=[("tdx_layer_init", "loops")],
    )
    with pytest.raises(DesignError, match=r"^layer\.c:\d+: .*endless loop"):
        run(CASE, class_in(write(tmp_path, text)))


@slow
def test_a_thousand_crashes_are_survived(tmp_path: Path) -> None:
    layer = class_in(write(tmp_path, text_of(get="	ret = *(volatile int *)pfn;")))
    for _ in range(1_000):
        with pytest.raises(DesignError):
            run(CASE, layer)


@needs_clang
def test_assembly_of_the_file_is_refused_under_clang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "clang")
    text, said = BUILD["assembly of the file"]
    with pytest.raises(DesignFileError, match=said):
        class_in(write(tmp_path, text))
