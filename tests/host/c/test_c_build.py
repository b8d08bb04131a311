"""How a layer in C is built: compilers, headers, what is kept, and what the digest covers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from c_layers import LAYERS, TWINS, needs_clang, needs_compiler, text_of, write
from tdxfuzz.host.c import build, elf
from tdxfuzz.host.c.compiler import FLAGS, HERE, INCLUDE, compiler
from tdxfuzz.host.c.errors import BuildError
from tdxfuzz.host.design_file import DesignFileError, class_in, digest_of

pytestmark = needs_compiler

HEADERS = sorted(
    str(path.relative_to(INCLUDE)) for path in INCLUDE.rglob("*.h") if path.parent != INCLUDE
)


def test_each_header_stands_alone_and_gives_no_warning(tmp_path: Path) -> None:
    cc = compiler()
    assert HEADERS
    path = write(tmp_path, "".join(f"#include <{header}>\n" for header in HEADERS))
    cc.must([*build.language(cc), "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(path)])
    for header in HEADERS:
        path.write_text(f"#include <{header}>\n", encoding="utf-8")
        cc.must([*build.language(cc), "-Wall", "-Werror", "-fsyntax-only", str(path)])


def test_the_layers_of_the_tests_give_no_warning() -> None:
    cc = compiler()
    for name in TWINS:
        cc.must(
            [*build.language(cc), "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
             "-fsyntax-only", str(LAYERS / f"{name}.c")]
        )  # fmt: skip


@needs_clang
def test_the_runtime_is_clean_under_both_compilers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gcc", "clang"):
        monkeypatch.setenv("CC", name)
        source, made = str(HERE / "runtime/runtime.c"), str(tmp_path / "runtime.so")
        compiler().must([*build.RUNTIME_FLAGS, "-shared", f"-I{INCLUDE}", source, "-o", made])


def test_without_a_compiler_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DesignFileError, match="install gcc or clang") as problem:
        class_in(LAYERS / "merged.c")
    assert "\n" not in str(problem.value)


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildError, match="CC=no-such-compiler is none that runs"):
        compiler()


def test_what_was_built_is_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write(tmp_path, text_of())
    first = build.layer(path)
    assert build.layer(path) == first
    write(tmp_path, text_of(get="	ret = 1;"))
    second = build.layer(path)
    assert second != first
    assert first.exists()
    assert second.exists()


def test_the_digest_covers_what_a_file_includes_and_no_more(tmp_path: Path) -> None:
    own = write(tmp_path, "#define START 1\n", "own.h")
    path = write(tmp_path, text_of(before=f'#include "{own}"\nint start = START;'))
    before = digest_of(path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert digest_of(write(elsewhere, path.read_text(encoding="utf-8"))) == before
    own.write_text("#define START 2\n", encoding="utf-8")
    assert digest_of(path) != before
    own.write_text("#define START 1\n#define UNUSED 1\n", encoding="utf-8")
    assert digest_of(path) == before


@needs_clang
@pytest.mark.parametrize("name", TWINS)
def test_both_compilers_give_one_digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for cc in ("gcc", "clang"):
        monkeypatch.setenv("CC", cc)
        digests.add(digest_of(LAYERS / f"{name}.c"))
    assert len(digests) == 1


def test_a_shim_of_ones_own_comes_first_and_other_folders_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("shim", "tree"):
        (tmp_path / folder / "linux").mkdir(parents=True)
        write(tmp_path / folder, "#define frobnicate(x) ((void)(x))\n", "frob.h")
    write(tmp_path / "tree/linux", "#error the tree's own", "atomic.h")
    path = write(tmp_path, text_of(before="#include <frob.h>", get="	frobnicate(pfn);"))
    with pytest.raises(DesignFileError, match=r"frob\.h is not in tdxfuzz's kernel headers"):
        class_in(path)
    for flag in (f"--shim={tmp_path}/shim", f"-I{tmp_path}/tree"):
        monkeypatch.setenv(FLAGS, flag)
        assert class_in(path).c_file is not None
    write(tmp_path / "shim/linux", "#error the shim's", "atomic.h")
    monkeypatch.setenv(FLAGS, f"--shim={tmp_path}/shim")
    with pytest.raises(DesignFileError, match=r"atomic\.h:1: #error the shim's"):
        class_in(path)


def test_a_class_is_named_after_its_file(tmp_path: Path) -> None:
    assert class_in(write(tmp_path, text_of(), "my-own_layer.c")).__name__ == "MyOwnLayer"


def test_the_parts_of_a_library_are_those_that_nm_tells() -> None:
    library = build.layer(LAYERS / "v6.c")
    told = subprocess.run(
        ["nm", "--defined-only", str(library)], capture_output=True, text=True, check=True
    )
    expected = {
        line.split()[2]: int(line.split()[0], 16)
        for line in told.stdout.splitlines()
        if line.split()[1] in "tTbBdD" and "tdx" in line.split()[2]
    }
    symbols = {symbol.name: symbol.address for symbol in elf.read(library).symbols}
    assert {name: symbols.get(name) for name in expected} == expected


def test_another_file_is_no_library() -> None:
    with pytest.raises(ValueError, match="no 64-bit little-endian ELF file"):
        elf.read(LAYERS / "v6.c")


def test_the_glue_says_what_attributes_of_a_design_say(tmp_path: Path) -> None:
    glue = (
        '.tolerates = "TDX_OPERAND_BUSY, HPA_RANGE_NOT_FREE", .declared_leaks = "idle-pair",'
        '.may_starve = "a spin lock", .cache_pages = 12, .initial_refcount = -1,'
        ".split_cache_per_vm = true, .frees_sept_from_rcu = true,"
    )
    layer = class_in(write(tmp_path, text_of(glue=glue)))
    assert layer.tolerates == {"OPERAND_BUSY", "HPA_RANGE_NOT_FREE"}
    assert layer.kvm_repeats == frozenset()
    assert layer.declared_leaks == {"idle-pair"}
    assert layer.may_starve == "a spin lock"
    assert (layer.pamt_cache_pages, layer.initial_refcount) == (12, -1)
    assert layer.split_cache_per_vm
    assert layer.frees_sept_from_rcu
    assert not layer.cache_made_by_vcpu_init
