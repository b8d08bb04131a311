"""A layer's file as it is loaded: its functions and data by name, and what its glue says."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from bisect import bisect_right
from functools import cache
from pathlib import Path

from attrs import evolve

from tdxfuzz.case.names import TDMR_BASE, name_of_page
from tdxfuzz.host.c import build, elf
from tdxfuzz.host.c.compiler import INCLUDE, place_of
from tdxfuzz.host.c.errors import BuildError
from tdxfuzz.host.c.machine import CONTEXTS, STACKS, machine
from tdxfuzz.sim import CodePlace

ARENA = 0x5D0000000000
ARENA_END = ARENA + (64 << 20)
MEM_MAP = ARENA + 0x100000
DIRECT_MAP = ARENA + 0x1000000
HEAP = ARENA + (32 << 20)
STACK_SPACING = 16 << 20
STRUCT_PAGE = 64
PAGES = 4096


class Glue(ctypes.Structure):
    """``struct tdx_layer`` of include/tdxfuzz/layer.h; functions and locks by address."""

    _fields_ = (
        *(
            (name, ctypes.c_void_p)
            for name in (
                "init",
                "get",
                "get_page",
                "put",
                "put_page",
                "put_hint",
                "refcount",
                "demote_lock",
                "topup",
            )
        ),
        *(
            (name, ctypes.c_char_p)
            for name in (
                "tolerates",
                "kvm_repeats",
                "declared_leaks",
                "may_starve",
            )
        ),
        ("cache_pages", ctypes.c_int),
        ("initial_refcount", ctypes.c_int),
        ("kworkers", ctypes.c_int),
        *(
            (name, ctypes.c_bool)
            for name in (
                "split_cache_per_vm",
                "frees_sept_from_rcu",
                "cache_made_by_vcpu_init",
                "retries_missing",
            )
        ),
    )


class Image:
    """A file, built and loaded. ``number`` is the runtime's for it, ``glue`` what TDX_LAYER says,
    ``symbols`` its functions and variables, whose addresses are from ``base`` on.

    Raises:
        BuildError: it does not compile, or has no TDX_LAYER with get and put.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        runtime = machine()
        self.library = build.layer(path)
        loaded = ctypes.PyDLL(str(self.library))
        parts = elf.read(self.library)
        glue = next((each for each in parts.symbols if each.name == "tdx_layer_glue"), None)
        if glue is None:
            raise BuildError(
                f"{path}: there is no TDX_LAYER(.get = …, .put = …) in it; see docs/c-code.md"
            )
        self.glue = Glue.in_dll(loaded, "tdx_layer_glue")
        self.has_work = any(each.name == "tdxc_has_work" for each in parts.symbols)
        self.base = ctypes.addressof(self.glue) - glue.address
        self.symbols = sorted(parts.symbols, key=lambda symbol: symbol.address)
        self._starts = [symbol.address for symbol in self.symbols]
        low, high = parts.data
        self.number = runtime.adopt(
            self.base,
            self.base + parts.end,
            self.base + low,
            max(high - low, 0),
            "tdxc_races_on_purpose" in parts.wanted,
        )
        if self.number < 0:
            raise BuildError(f"{path}: more C files are loaded than one process can hold")
        _LOADED.append(self)
        for names in (("get", "get_page"), ("put", "put_page", "put_hint")):
            given = [name for name in names if getattr(self.glue, name)]
            if len(given) != 1:
                wanted = " or ".join(f".{name}" for name in names)
                raise BuildError(f"{self.glue_place}: TDX_LAYER needs {wanted}, and only one")
        self._names: dict[int, str] = {}
        self._places: dict[int, CodePlace] = {}
        self._functions: dict[int, CodePlace] = {}
        self._sources: dict[str, Path] = {}

    @property
    def glue_place(self) -> str:
        """Where TDX_LAYER stands, for messages."""
        lines = self.path.read_text(errors="replace").splitlines()
        found = [i for i, line in enumerate(lines, 1) if line.startswith("TDX_LAYER")]
        return place_of(str(self.path), str(found[0])) if found else str(self.path)

    def text(self, name: str) -> str:
        """A string of the glue; empty if it is not given."""
        value: bytes | None = getattr(self.glue, name)
        return "" if value is None else value.decode(errors="replace")

    def name(self, address: int) -> str:
        """What a place in memory is called, the same in every process."""
        known = self._names.get(address)
        if known is None:
            known = self._names[address] = self._name(address)
        return known

    def _name(self, address: int) -> str:
        symbol = self._symbol(address)
        if symbol is not None:
            return _with_offset(symbol.name, address - self.base - symbol.address)
        if MEM_MAP <= address < MEM_MAP + PAGES * STRUCT_PAGE:
            pfn, offset = divmod(address - MEM_MAP, STRUCT_PAGE)
            return _with_offset(f"struct page {name_of_page(TDMR_BASE + (pfn << 12))}", offset)
        if DIRECT_MAP <= address < DIRECT_MAP + (PAGES << 12):
            pfn, offset = divmod(address - DIRECT_MAP, 4096)
            return _with_offset(f"page {name_of_page(TDMR_BASE + (pfn << 12))}", offset)
        if HEAP <= address < ARENA_END:
            return f"heap+{address - HEAP:#x}"
        if ARENA <= address < HEAP:
            return f"cache+{address - ARENA:#x}"
        context, offset = divmod(address - STACKS, STACK_SPACING)
        if 0 <= context < CONTEXTS:
            return f"stack{context}-{STACK_SPACING - offset:#x}"
        return "NULL" if not address else f"address {address:#x}"

    def function(self, address: int) -> str:
        """The name of a function."""
        symbol = self._symbol(address)
        return f"{address:#x}" if symbol is None else symbol.name

    def _symbol(self, address: int) -> elf.Symbol | None:
        offset = address - self.base
        i = bisect_right(self._starts, offset) - 1
        if i < 0 or offset >= self.symbols[i].address + max(self.symbols[i].size, 1):
            return None
        return self.symbols[i]

    def where(self, pc: int) -> str:
        """The file and line of the code before a return address, as ``file.c:12``."""
        place = self.place(pc)
        return f"{place.file}:{place.line}" if place.line else f"{place.file} ({place.function})"

    def function_place(self, address: int) -> CodePlace:
        """The line with a function's name; compilers tell only of its code, which begins below."""
        known = self._functions.get(address)
        if known is None:
            place = self.place(address + 1)
            known = self._functions[address] = evolve(place, line=self._line_of_name(place))
        return known

    def _line_of_name(self, place: CodePlace) -> int:
        try:
            text = self._sources[place.file].read_text(errors="replace")
        except (KeyError, OSError):
            return place.line
        named = re.compile(rf"^[^#/*]*\b{re.escape(place.function)}\s*\(")
        lines = text.splitlines()[: place.line]
        return next((n for n in range(len(lines), 0, -1) if named.search(lines[n - 1])), place.line)

    def place(self, pc: int) -> CodePlace:
        """The same with the function; line 0 if nobody can tell it."""
        known = self._places.get(pc)
        if known is None:
            known = self._places[pc] = self._place(pc - 1 - self.base)
        return known

    def _place(self, offset: int) -> CodePlace:
        function = self.function(offset + self.base)
        reader = shutil.which("addr2line") or shutil.which("llvm-symbolizer")
        if reader is not None:
            style = ["--output-style=GNU"] if "symbolizer" in reader else []
            done = subprocess.run(
                [reader, *style, "-i", "-e", str(self.library), hex(offset)],
                capture_output=True,
                text=True,
                check=False,
            )
            for line in done.stdout.splitlines():
                file, _, number = line.partition(" ")[0].rpartition(":")
                if file and number.isdigit() and not Path(file).is_relative_to(INCLUDE):
                    self._sources[Path(file).name] = Path(file)
                    return CodePlace(Path(file).name, int(number), function)
        return CodePlace(self.path.name, 0, function)


def _with_offset(name: str, offset: int) -> str:
    return f"{name}+{offset}" if offset else name


_LOADED: list[Image] = []
"""By the runtime's number."""


def loaded(number: int) -> Image:
    """The image that the runtime knows by a number."""
    return _LOADED[number]


@cache
def _image(path: Path, built: Path) -> Image:
    return Image(path)


def image_of(path: Path) -> Image:
    """A file's image, loaded once. Errors are those of Image."""
    return _image(path.absolute(), build.layer(path))
