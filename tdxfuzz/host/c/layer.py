"""A design that is written in C."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from tdxfuzz.abi.status_codes import CODES
from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.host.c.cells import CountInC
from tdxfuzz.host.c.drive import Driver
from tdxfuzz.host.c.errors import BuildError, CodeError
from tdxfuzz.host.c.image import MEM_MAP, STRUCT_PAGE, Image, image_of
from tdxfuzz.host.c.machine import ROOM, THREADS, machine
from tdxfuzz.host.c.memory import CMemory
from tdxfuzz.host.design import ENOMEM, AtomicT, PageCache, Pair, RefcountLayer
from tdxfuzz.sim import CodePlace, Contents, Declared, HarnessError

KWORKERS = 2
"""How many items of work may be queued or running at once, if a file does not say."""


class CLayer(RefcountLayer):
    """A layer in C; classes of files derive from it."""

    image: ClassVar[Image]
    get_in_c: ClassVar[int]
    put_in_c: ClassVar[int]
    by_page: ClassVar[tuple[bool, bool]]
    """The functions, and whether they take a ``struct page`` in place of a PFN."""

    STATE: ClassVar = Declared(parts="_memory", fixed="_driver")

    _driver: Driver
    _memory: CMemory

    def setup(self) -> None:
        cpus = self._host.world.cpus
        if cpus + self.kworkers > THREADS:
            raise HarnessError(
                f"{cpus} CPUs and {self.kworkers} kworkers: layers in C have {THREADS} in all"
            )
        self._memory = CMemory(self.image)
        self._driver = Driver(self._memory, self, self._host)
        init = self.image.glue.init
        if init:
            result = self._driver.call(init)
            if result:
                name = self.image.function(init)
                where = self._place_of(init)
                raise CodeError(f"{where}: {name}() returned {result}", "init", name)

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self._count(pfn)
        function, argument = self.get_in_c, _page(pfn) if self.by_page[0] else pfn
        if cache is None:
            return self._driver.call(function, argument, 0, page=pfn)
        context = self._host.sim.current.id
        runtime, room, at = machine(), machine().pages, machine().pages_at
        had = len(cache.pages)
        room[:had] = array("Q", cache.pages[::-1])
        self._memory.enter()
        given = runtime.fill_cache(context, at, had)
        result = self._driver.call(function, argument, given, page=pfn)
        left = runtime.empty_cache(context, at, ROOM)
        if left < 0:
            name = self.image.function(function)
            raise CodeError(
                f"{self._place_of(function)}: {name}() leaves the list of its cache broken",
                "cache",
                name,
            )
        cache.pages = room[:left].tolist()[::-1]
        cache.allocator.drawn += had - left
        if result == -ENOMEM:
            cache.allocator.watch.cache_dry(cache.what)
        return result

    def put(self, pfn: int, hint: bool = False) -> None:
        self._count(pfn)
        argument = _page(pfn) if self.by_page[1] else pfn
        self._driver.call(self.put_in_c, argument, hint, page=pfn)

    def topup(self) -> int:
        function = self.image.glue.topup
        return self._driver.call(function) if function else 0

    def around_demote(self, pfn: int, pair: Pair) -> AbstractContextManager[object]:
        address = self.image.glue.demote_lock
        if not address:
            return super().around_demote(pfn, pair)
        lock = self._driver.lock(address)
        assert isinstance(lock, AbstractContextManager)
        return lock

    def holders_of(self, refcount: int) -> int:
        return refcount - self.initial_refcount

    def refcount(self, pfn: int) -> AtomicT:
        count = self._count(pfn)
        return super().refcount(pfn) if count is None else count

    def _count(self, pfn: int) -> CountInC | None:
        """The count of a page's range, where the glue says how to find it."""
        refcounts, index = self._host.refcounts, pfn >> 9
        known = refcounts.get(index)
        if known is not None:
            assert isinstance(known, CountInC)
            return known
        find = self.image.glue.refcount
        if not find:
            return None
        address = self._driver.look_up(find, pfn)
        if not machine().count(address):
            name = self.image.function(find)
            raise CodeError(
                f"{self._place_of(find)}: {name}({pfn:#x}) gives {self.image.name(address)}, which "
                "is no atomic_t of the layer",
                "count",
                name,
            )
        count = CountInC(self._host, index << 9, address)
        refcounts[index] = self._memory.counts[address] = self._memory.cells[address] = count
        return count

    def in_key(self, read: Contents) -> object:
        return read(self._memory)

    def standing(self, context: int) -> int:
        return machine().standing(context) if self._memory.at[context] else 0

    def place_of(self, context: int, method: str = "") -> CodePlace | None:
        pc = self._memory.at[context]
        if pc or not method:
            return self.image.place(pc) if pc else None
        return self.image.function_place(self.get_in_c if method == "get" else self.put_in_c)

    def _place_of(self, function: int) -> str:
        place = self.image.function_place(function)
        return f"{place.file}:{place.line}"

    def order_of_accesses(self) -> int:
        return machine().order_hash()

    def shared_without_steps(self) -> Iterable[str]:
        return (f"shared word {i}" for i in range(machine().shared(self.image.number)))


def _page(pfn: int) -> int:
    """The address of a page's ``struct page``."""
    return MEM_MAP + (pfn - (TDMR_BASE >> 12)) * STRUCT_PAGE


def _statuses(image: Image, field: str) -> frozenset[str]:
    """The statuses that a field of the glue names, with TDX_ in front or not.

    Raises:
        BuildError: there is no such status.
    """
    text = image.text(field)
    names = frozenset(name.removeprefix("TDX_") for name in re.split(r"[,\s]+", text) if name)
    for name in sorted(names - CODES.keys()):
        raise BuildError(f"{image.glue_place}: TDX_LAYER .{field}: there is no status {name}")
    return names


def class_of(path: Path) -> type[CLayer]:
    """The design of a C file, named after it: ``my_layer.c`` is MyLayer.

    Raises:
        BuildError: there is no compiler, or the file cannot be built or used.
    """
    image = image_of(path)
    glue = image.glue
    if not 0 <= glue.cache_pages <= ROOM:
        raise BuildError(
            f"{image.glue_place}: TDX_LAYER .cache_pages: {glue.cache_pages} is not in 0..{ROOM}"
        )
    name = (
        "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_+", path.stem)) or "Layer"
    )
    return type(
        name,
        (CLayer,),
        {
            "__doc__": f"The C code of {path.name}.",
            "__module__": __name__,
            "c_file": image.path,
            "image": image,
            "get_in_c": glue.get or glue.get_page,
            "put_in_c": glue.put or glue.put_page or glue.put_hint,
            "by_page": (bool(glue.get_page), bool(glue.put_page)),
            "counts_splits": bool(glue.refcount),
            "uses_hint": bool(glue.put_hint),
            "tolerates": _statuses(image, "tolerates"),
            "kvm_repeats": _statuses(image, "kvm_repeats"),
            "declared_leaks": frozenset(re.findall(r"[\w-]+", image.text("declared_leaks"))),
            "may_starve": image.text("may_starve"),
            "pamt_cache_pages": glue.cache_pages or RefcountLayer.pamt_cache_pages,
            "initial_refcount": glue.initial_refcount,
            "kworkers": glue.kworkers or (KWORKERS if image.has_work else 0),
            "split_cache_per_vm": glue.split_cache_per_vm,
            "frees_sept_from_rcu": glue.frees_sept_from_rcu,
            "cache_made_by_vcpu_init": glue.cache_made_by_vcpu_init,
            "retries_missing": glue.retries_missing,
        },
    )


__all__ = ["BuildError", "CLayer", "class_of"]
