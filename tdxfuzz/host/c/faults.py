"""What C did wrong: each ends the run with one line."""

from __future__ import annotations

import signal
from typing import NoReturn

from tdxfuzz.host.c.answers import text_at
from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.c.ground import Ground
from tdxfuzz.host.c.image import ARENA_END, DIRECT_MAP, HEAP, MEM_MAP, PAGES, STACK_SPACING
from tdxfuzz.host.c.machine import CONTEXTS, PC, STACKS, machine


def not_held(d: Ground, address: int, *_: int) -> NoReturn:
    """lockdep_assert_held() of a lock that is not held."""
    name = d.image.name(address)
    raise d.wrong("lockdep", f"lockdep_assert_held({name}) fails")


def crash(d: Ground, address: int, number: int, stack: int, *_: int) -> NoReturn:
    """A signal: memory that is not there, or a trap of the compiler."""
    if stack == d.host.sim.current.id:
        raise d.wrong("stack-overflow", "stack overflow: more than 64 KB in use")
    if number == signal.SIGILL:
        raise d.wrong(
            "UBSan",
            "undefined behaviour (UBSan: array bounds, shift, division, bool or enum), or a trap of"
            " the code's own",
        )
    if number == signal.SIGFPE:
        raise d.wrong("division", "division by zero, or with a result that is too large")
    name = signal.Signals(number).name
    raise d.wrong(name, f"crash ({name}) at {d.image.name(address)}")


def hang(d: Ground, *_: int) -> NoReturn:
    """Code that does not end."""
    raise d.wrong(
        "",
        "an endless loop; one that waits for another CPU needs cpu_relax() and READ_ONCE()",
        hangs=True,
    )


def bad_access(d: Ground, address: int, size: int, writes: int, *_: int) -> NoReturn:
    """Memory that is not the layer's to touch."""
    what = f"{'writes' if writes else 'reads'} {size} bytes at"
    raise d.wrong("bad-access", f"{what} {d.image.name(address)}: {_why_bad(address)}")


def bug(d: Ground, what: int, file: int, line: int, *_: int) -> NoReturn:
    """BUG() and BUG_ON()."""
    function = d.image.function(machine().words[PC])
    place = f"{text_at(file)}:{line}"
    raise CodeError(f"{place}: {text_at(what)}: the kernel stops here", "BUG", function)


def bad_free(d: Ground, address: int, what: int, *_: int) -> NoReturn:
    """Something was freed that is not allocated."""
    raise d.wrong(
        "bad-free", f"{text_at(what)}() of {d.image.name(address)}, which is not allocated"
    )


def no_memory(d: Ground, size: int, what: int, *_: int) -> NoReturn:
    """The heap is used up."""
    limits = "a layer has 32 MB of heap here, and one object at most 8 MB"
    raise d.wrong("no-memory", f"{text_at(what)} of {size} bytes: {limits}")


def too_much(d: Ground, what: int, *_: int) -> NoReturn:
    """The runtime has no room left: for the check for data races, or for what is said."""
    said = text_at(what) or "one run touches more memory than the check for data races can note"
    raise d.wrong("too-much", said)


def _why_bad(address: int) -> str:
    address &= (1 << 64) - 1
    if address < 4096:
        return "a NULL pointer"
    if HEAP <= address < ARENA_END:
        return "outside of every object, or freed"
    if MEM_MAP <= address < HEAP and address < DIRECT_MAP:
        return "no struct page: the PFN is not below max_pfn, or not of this machine"
    if DIRECT_MAP <= address < DIRECT_MAP + (PAGES << 12):
        return "a page that is not the layer's, or was freed"
    if 0 <= address - STACKS < CONTEXTS * STACK_SPACING:
        return "a stack object of a function that has returned"
    return "not memory of the layer"
