"""What a library does to the process that it runs in: each is told, and nothing ends the tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_compiler
from target_libraries import SOURCES, build_text
from tdxfuzz.targets.library.diff import Diff, Found
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.known import Known
from tdxfuzz.targets.library.process import Library
from tiers import slow

pytestmark = needs_compiler

FREEID = "static u64 mng_key_freeid(struct call *call)\n{\n"


def found_in(folder: Path, before: str, after: str) -> list[Found]:
    """What ``diff`` finds in the reference library with a change."""
    text = (SOURCES / "reference.c").read_text(encoding="utf-8")
    assert before in text
    found: list[Found] = []
    with Library(build_text(folder, text.replace(before, after, 1))) as library:
        Diff(library, Known(), 1).run(12, None, found.append, lambda tally: None)
    return found


def test_a_library_that_ends_the_process_is_found_once(tmp_path: Path) -> None:
    (found,) = found_in(tmp_path, FREEID, f"{FREEID}\tif (call)\n\t\texit(3);\n")
    assert found.divergence.library == "crash: it ended the process with exit code 3"


def test_a_stack_that_overflows_is_named(tmp_path: Path) -> None:
    deep = "static u64 deep(volatile u64 *x)\n{\n\tvolatile u64 b[64];\n\n\tb[0] = *x + 1;\n"
    deep += "\treturn *x ? deep(b) + b[0] : 0;\n}\n\n"
    call = f"{FREEID}\tvolatile u64 one = 1;\n\n\tif (deep(&one))\n\t\treturn 0;\n"
    (found,) = found_in(tmp_path, FREEID, deep + call)
    assert found.divergence.library == "crash: stack overflow"


def test_what_a_library_prints_does_no_harm(tmp_path: Path) -> None:
    assert found_in(tmp_path, FREEID, f'{FREEID}\tputs("hello");\n\tfflush(stdout);\n') == []


@slow
def test_answers_that_depend_on_the_time_are_not_repeated(tmp_path: Path) -> None:
    now = "#include <time.h>\n\n"
    call = f"{FREEID}\tstruct timespec now;\n\n\tclock_gettime(CLOCK_MONOTONIC, &now);\n"
    call += "\tif (!(now.tv_nsec / 64 % 3))\n\t\treturn OPERAND_INVALID;\n"
    fields = {each.divergence.field for each in found_in(tmp_path, FREEID, now + call)}
    # Anything may show twice by chance, but nothing is put down to the calls before it.
    assert fields
    assert "reset" not in fields


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('begin_list("{\\"ranges\\":[");', 'begin_list("{{");', "tdxt_snapshot gives no JSON"),
        (".op = (u64)op,", ".op = (u64)op + 40,", "the library has told of an event with op 4"),
        (
            "\tworld = *new_world;\n",
            '\tstrcpy(why, "no LPs");\n\tif (new_world->lps)\n\t\treturn -1;\n',
            r"library.so: tdxt_reset returned -1: no LPs; in a world of \d LPs",
        ),
    ],
    ids=["snapshot", "event", "world"],
)
def test_a_library_that_breaks_the_abi_is_refused(
    tmp_path: Path, before: str, after: str, why: str
) -> None:
    with pytest.raises(LibraryError, match=why):
        found_in(tmp_path, before, after)
