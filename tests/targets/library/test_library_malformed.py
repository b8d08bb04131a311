"""Libraries that are none, or do what they may not: one clear line each, in time, and no loss."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from c_layers import needs_compiler
from commands import Answer, Invoke
from target_libraries import SOURCES, build, build_text
from tiers import slow

pytestmark = needs_compiler

SECONDS = 30.0
SPIN = "\tfor (volatile int one = 1; one;)\n\t\t;\n"
CRASH = "\t*(volatile int *)8 = 1;\n"
WAIT = "\tpause();\n"

FILL = (
    "\tfor (;;) {\n\t\tvolatile char *some = malloc(1 << 20);\n\n"
    "\t\tfor (int i = 0; some && i < 1 << 20; i += 4096)\n\t\t\tsome[i] = 1;\n\t}\n"
)
BEGIN = "__attribute__((constructor)) static void begin(void)\n{\n"
WHY = "static const char *why"
IDLE = "static void *idle(void *it)\n{\n\tfor (;;)\n\t\tpause();\n\treturn it;\n}\n\n"

RESET = "int64_t tdxt_reset(const struct tdxt_world *world)\n{\n"
CALL = "int64_t tdxt_seamcall(uint64_t lp, uint64_t *rax, uint64_t regs[TDXT_REGS])\n{\n"
READ = "int64_t tdxt_mem_read(uint64_t hpa, void *buffer, uint64_t size)\n{\n"
WRITE = "int64_t tdxt_mem_write(uint64_t hpa, const void *buffer, uint64_t size)\n{\n"
CAPS = "int64_t tdxt_caps(struct tdxt_caps *caps)\n{\n"
ABI = "uint64_t tdxt_abi(void)\n{\n"
VERSION = "const char *tdxt_version(void)\n{\n"
SNAPSHOT = "int64_t tdxt_snapshot(char *buffer, uint64_t size)\n{\n\t(void)buffer;\n\t(void)size;\n"
NEVER_HEARD = """if (*rax == 36) {
		why = "never heard";
		return -2;
	}
	*rax = dispatch(lp, *rax, regs);"""
HEADERS = (
    "#include <pthread.h>\n#include <setjmp.h>\n#include <signal.h>\n#include <stdio.h>\n"
    "#include <sys/mman.h>\n#include <unistd.h>\n"
)


def marked(rows: list[tuple[str, ...]], ids: str) -> list[ParameterSet]:
    """Rows with their names; those that take seconds are slow."""
    return [
        pytest.param(*row, id=name, marks=[slow] if row[1].endswith((SPIN, WAIT, FILL)) else [])
        for row, name in zip(rows, ids.split(", "), strict=True)
    ]


def changed(folder: Path, before: str, after: str, end: str = "") -> Path:
    """The second library with a change, and something behind it."""
    text = (SOURCES / "pairs.c").read_text(encoding="utf-8")
    assert text.count(before) == 1
    return build_text(folder, HEADERS + text.replace(before, after) + end)


def told(invoke: Invoke, path: Path) -> Answer:
    """What ``diff`` says, in time."""
    began = time.monotonic()
    answer = invoke("diff", "--library", path, "--cases", "3", "--seed", "1")
    assert time.monotonic() - began < SECONDS
    assert "Traceback" not in answer.err
    return answer


def refused(invoke: Invoke, path: Path) -> str:
    """The one line that says why a library cannot be used."""
    answer = told(invoke, path)
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    assert line.startswith(f"tdxfuzz: {path.name}: "), line
    return line.removeprefix(f"tdxfuzz: {path.name}: ")


def first(invoke: Invoke, path: Path) -> tuple[str, str]:
    """Where the first divergence is, and what the library did."""
    answer = told(invoke, path)
    assert answer.code == 1
    lines = answer.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith(" differs:"))
    return lines[at].removesuffix(" differs:"), lines[at + 2].split(maxsplit=1)[1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is no shared library"),
        (b"#!/bin/sh\nexit 0\n", "it is no shared library"),
        (b"\x7fELF", "it is no shared library"),
        (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x03\x00\x03\x00", "it is not a library of 64 bits"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x16\x00", "it is for s390, and this"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\x00\x3e\x00", "it is "),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00", "it "),
    ],
    ids=["empty", "script", "short", "32 bits", "another machine", "object file", "cut off"],
)
def test_a_file_that_is_no_library(
    invoke: Invoke, tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "module.so"
    path.write_bytes(content)
    assert refused(invoke, path).startswith(why)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    marked(
        [
            ("tdxt_error(void)", "tdxt_reason(void)", "it does not export tdxt_error"),
            ("return TDXT_ABI;", "return 2;", "version 2 of the ABI, and this is version 1"),
            (
                "memset(caps, 0, sizeof(*caps));",
                "memset(caps, 0xff, 8);",
                "sets flags that version 1 of the ABI does not have: 0xffffffffffffffe0; it has to",
            ),
            (
                "caps->leaves[table[i].number / 64] |=",
                "if (table[i].number % 9) caps->leaves[table[i].number / 64] |=",
                "its tdxt_caps lack TDH.SYS.CONFIG (45), TDH.SYS.TDMR.INIT (36), without which",
            ),
            (
                READ,
                f'{READ}\twhy = "no";\n\tif (hpa > 4096)\n\t\treturn -7;\n',
                "tdxt_mem_read returned -7: no; asked for ",
            ),
            (
                WRITE,
                f'{WRITE}\twhy = "";\n\tif (hpa > 4096)\n\t\treturn -7;\n',
                "tdxt_mem_write returned -7: tdxt_error gives no reason; asked for ",
            ),
            (
                "*rax = dispatch(lp, *rax, regs);",
                NEVER_HEARD,
                "tdxt_seamcall returned -2: never heard; asked for TDH.SYS.TDMR.INIT(rcx=0x",
            ),
            (
                CAPS,
                f'{CAPS}\twhy = "no caps";\n\tif (caps)\n\t\treturn -1;\n',
                "tdxt_caps: no caps",
            ),
            ('return "pairs of PAMT pages, 1";', "return NULL;", "tdxt_version gives no text"),
            (ABI, ABI + CRASH, "in tdxt_abi: SIGSEGV in tdxt_abi (library.c:"),
            (CAPS, CAPS + SPIN, "in tdxt_caps: it does not end in tdxt_caps (library.c:"),
            (VERSION, VERSION + WAIT, "in tdxt_version: it waits in "),
            (CAPS, f"{CAPS}\texit(0);\n", "in tdxt_caps: it ended the process with exit code 0"),
            (CAPS, f"{CAPS}\tabort();\n", "in tdxt_caps: SIGABRT"),
            (
                WHY,
                f"{BEGIN}{CRASH}}}\n{WHY}",
                "in its constructors: SIGSEGV in begin (library.c:",
            ),
            (
                WHY,
                f"{BEGIN}{SPIN}}}\n{WHY}",
                "in its constructors: it does not end in begin",
            ),
            (
                CAPS,
                f"{CAPS}\tsignal(SIGSEGV, SIG_IGN);\n",
                "it has a handler for SIGSEGV of its own, and may have none",
            ),
            (
                CAPS,
                f"{IDLE}{CAPS}\tpthread_t id;\n\n\tpthread_create(&id, NULL, idle, NULL);\n",
                "it has 1 threads of its own, and may have none",
            ),
            (
                "memcpy(page->bytes + hpa % KB4, buffer, size);",
                "(void)buffer, (void)size;",
                "does not give",
            ),
        ],
        (
            "symbol, version, flags, leaves, read refuses, write refuses, call refuses, refuses, "
            "no text, crash, spin, wait, exit, abort, "
            "constructor, constructor spins, handler, thread, write"
        ),
    ),
)
def test_what_cannot_be_used_is_refused(
    invoke: Invoke, tmp_path: Path, before: str, after: str, why: str
) -> None:
    assert why in refused(invoke, changed(tmp_path, before, after))


def test_memory_that_outlives_a_reset_is_named(invoke: Invoke, tmp_path: Path) -> None:
    text = (SOURCES / "pairs.c").read_text(encoding="utf-8")
    text = text.replace(RESET, f"{RESET}\tstruct page *kept_pages = all.memory;\n")
    text = text.replace("\twhile (all.memory) {", "\tall.memory = NULL;\n\twhile (all.memory) {")
    world = "\tall.world = *world;\n"
    path = build_text(tmp_path, text.replace(world, f"{world}\tall.memory = kept_pages;\n"))
    assert refused(invoke, path).startswith("tdxt_reset left something in memory: 0x")


@pytest.mark.parametrize(
    ("before", "after", "where", "how"),
    marked(
        [
            (RESET, RESET + CRASH, "tdxt_reset, crash", "crash: SIGSEGV in tdxt_reset (library.c:"),
            (RESET, RESET + SPIN, "tdxt_reset, hang", "hang: it does not end in tdxt_reset"),
            (
                RESET,
                f"{RESET}\texit(0);\n",
                "tdxt_reset, crash",
                "crash: it ended the process with",
            ),
            (READ, READ + CRASH, "tdxt_mem_read, crash", "crash: SIGSEGV in tdxt_mem_read"),
            (WRITE, WRITE + CRASH, "tdxt_mem_write, crash", "crash: SIGSEGV in tdxt_mem_write"),
            (
                WRITE,
                WRITE + SPIN,
                "tdxt_mem_write, hang",
                "hang: it does not end in tdxt_mem_write",
            ),
            (CALL, CALL + CRASH, "TDH.SYS.INIT, crash", "crash: SIGSEGV in tdxt_seamcall"),
            (
                CALL,
                f"{CALL}\texit(0);\n",
                "TDH.SYS.INIT, crash",
                "crash: it ended the process with",
            ),
            (
                CALL,
                f"{CALL}\t_exit(0);\n",
                "TDH.SYS.INIT, crash",
                "crash: it ended the process with",
            ),
            (CALL, f"{CALL}\tabort();\n", "TDH.SYS.INIT, crash", "crash: SIGABRT"),
            (CALL, f"{CALL}\tkill(getpid(), 9);\n", "TDH.SYS.INIT, crash", "crash: SIGKILL"),
            (CALL, CALL + SPIN, "TDH.SYS.INIT, hang", "hang: it does not end in tdxt_seamcall"),
            (
                RESET,
                f"{RESET}\tif (setjmp(place))\n\t\treturn 0;\n",
                "TDH.SYS.INIT, crash",
                "crash: it jumps out of tdxt_seamcall",
            ),
            (
                CALL,
                CALL + FILL,
                "TDH.SYS.INIT, crash",
                "crash: it takes more than 1 GB of memory",
            ),
        ],
        (
            "reset, reset spins, reset exits, read, write, write spins, call, exit, _exit, "
            "abort, kill, spin, longjmp, memory"
        ),
    ),
)
def test_what_ends_or_stops_it_is_a_finding(
    invoke: Invoke, tmp_path: Path, before: str, after: str, where: str, how: str
) -> None:
    if "setjmp" in after:
        text = (SOURCES / "pairs.c").read_text(encoding="utf-8").replace(before, after)
        text = text.replace(CALL, f"{CALL}\tlongjmp(place, 1);\n")
        path = build_text(tmp_path, f"{HEADERS}static jmp_buf place;\n{text}")
    else:
        path = changed(tmp_path, before, after)
    at, library = first(invoke, path)
    assert at == where
    assert library.startswith(how)


@pytest.mark.parametrize(
    ("body", "where", "how"),
    [
        (CRASH, "tdxt_snapshot, crash", "crash: SIGSEGV in tdxt_snapshot"),
        pytest.param(
            SPIN, "tdxt_snapshot, hang", "hang: it does not end in tdxt_snapshot", marks=slow
        ),
    ],
    ids=["crash", "hang"],
)
def test_so_is_a_snapshot_that_does_not_come_back(
    invoke: Invoke, tmp_path: Path, body: str, where: str, how: str
) -> None:
    flags = "\tcaps->flags = TDXT_HAS_SNAPSHOT;\n"
    zero = "memset(caps, 0, sizeof(*caps));\n"
    path = changed(tmp_path, zero, zero + flags, f"\n{SNAPSHOT}{body}\treturn 0;\n}}\n")
    at, library = first(invoke, path)
    assert at == where
    assert library.startswith(how)


HOOK = """
static tdxt_hook_fn hook;
static void *hook_context;

int64_t tdxt_hook(tdxt_hook_fn fn, void *context)
{
	hook = fn;
	hook_context = context;
	return 0;
}

static void *event(void *unused)
{
	struct tdxt_event some = { .op = TDXT_ACQUIRE, .mode = TDXT_MUTEX };

	hook(hook_context, &some);
	return unused;
}
"""
IN_A_THREAD = (
    "\tpthread_t id;\n\n\tpthread_create(&id, NULL, event, NULL);\n\tpthread_join(id, NULL);\n"
)


@pytest.mark.parametrize(
    ("function", "body", "where", "how"),
    [
        (RESET, "\tevent(NULL);\n", "tdxt_reset, crash", "outside of tdxt_seamcall"),
        (CALL, IN_A_THREAD, "TDH.SYS.INIT, crash", "in a thread of its own"),
    ],
    ids=["outside of a call", "thread"],
)
def test_a_hook_that_is_called_from_elsewhere_is_told(
    invoke: Invoke, tmp_path: Path, function: str, body: str, where: str, how: str
) -> None:
    zero = "memset(caps, 0, sizeof(*caps));\n"
    text = (SOURCES / "pairs.c").read_text(encoding="utf-8")
    text = text.replace(zero, f"{zero}\tcaps->flags = TDXT_HAS_HOOK;\n")
    text = text.replace("static const char *why", f"{HOOK}\nstatic const char *why")
    path = build_text(tmp_path, HEADERS + text.replace(function, function + body))
    at, library = first(invoke, path)
    assert (at, library) == (where, f"crash: it calls the hook {how}")


def test_a_snapshot_without_an_end_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    flags = "\tcaps->flags = TDXT_HAS_SNAPSHOT;\n"
    zero = "memset(caps, 0, sizeof(*caps));\n"
    path = changed(tmp_path, zero, zero + flags, f"\n{SNAPSHOT}\treturn 1ll << 50;\n}}\n")
    assert refused(invoke, path) == "tdxt_snapshot wants room for 1125899906842624 bytes"


@pytest.mark.parametrize(
    "does",
    [
        "\tfor (int i = 0; i < 200; i++)\n\t\tputs(why);\n",
        "\tif (!fork())\n\t\treturn 0;\n",
    ],
    ids=["prints", "forks"],
)
def test_what_does_no_harm_is_no_finding(invoke: Invoke, tmp_path: Path, does: str) -> None:
    answer = told(invoke, changed(tmp_path, RESET, RESET + does))
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("pass: no divergence")


def test_what_outlives_a_reset_is_named(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRS_ERROR", "reset")
    answer = invoke("diff", "--library", build("pairs"), "--cases", "12", "--seed", "1")
    assert answer.code == 1
    assert "reset, reset differs:" in answer.out
    assert (
        "  variables not as in a fresh process (some may be harmless): all\n  look for: "
        in answer.out
    )
    assert "  library  TDH.PHYMEM.P" in answer.out


@slow
def test_what_was_found_before_the_library_is_refused_is_not_lost(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks the rules only after some resets."""
    monkeypatch.setenv("PAIRS_ERROR", "status")
    late = f'{RESET}\tstatic int n;\n\n\twhy = "tired";\n\tif (n++ > 60)\n\t\treturn -1;\n'
    path = changed(tmp_path, RESET, late)
    arguments = ("--library", path, "--cases", "200", "--seed", "1")
    answer = invoke("diff", *arguments)
    assert answer.code == 2
    assert "TDH.PHYMEM.PAMT.REMOVE, status differs:" in answer.out
    (told,) = answer.err.splitlines()
    assert told.startswith("tdxfuzz: library.so: tdxt_reset returned -1: tired; in a world of ")
    assert told.endswith("; a library has to do them all")
    answer = invoke("diff", *arguments, "--format", "json")
    assert answer.code == 2
    assert answer.json["verdict"] == "error"
    assert str(answer.json["error"]).startswith("library.so: tdxt_reset returned -1: tired; ")
    findings = answer.json["divergences"]
    assert isinstance(findings, list)
    assert Path(findings[0]["reproducer"]).exists()


def test_bits_of_caps_that_no_leaf_has_are_told_in_one_line(invoke: Invoke, tmp_path: Path) -> None:
    zero = "memset(caps, 0, sizeof(*caps));\n"
    body = f"{zero}\tcaps->leaves[3] = ~0ull;\n\tcaps->leaves[0] = 1ull << 12;\n"
    answer = told(invoke, changed(tmp_path, zero, body))
    line = next(each for each in answer.out.splitlines() if each.startswith("not compared: "))
    assert "; leaves that the model lacks (TDH." in line
    assert "; 64 bits of tdxt_caps for which tdxfuzz knows no leaf (192, 193, " in line
    assert answer.code == 0


def test_a_library_may_lie_anywhere(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "a folder with ümlauts"
    folder.mkdir()
    path = Path(shutil.copy(build("pairs"), folder / "module 1.so"))
    assert told(invoke, path).code == 0
