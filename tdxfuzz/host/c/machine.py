"""The runtime as Python sees it: its functions, and the state that it shares."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from enum import IntEnum
from functools import cache

from tdxfuzz.host.c import build, elf
from tdxfuzz.host.c.errors import BuildError

THREADS = 8
"""CPUs of a world with kworkers, at most."""

CONTEXTS = 2 * THREADS + 1
LOOK_UP = CONTEXTS - 1
"""The context in which the harness asks where a reference count is."""

CLOCK, DUE, CONTEXT, THREAD, TRACED, RESULT, ARG = 0, 1, 2, 3, 4, 5, 6
PC = 12
QUIET, TOKENS, TOKEN, REGS = 14, 15, 16, 24
SEEN = REGS + 13
LATERS = SEEN + CONTEXTS
LATER, MOST_LATERS, LATER_WORDS = LATERS + 1, 16, 4
WORDS = LATER + MOST_LATERS * LATER_WORDS
"""Where the fields of ``struct state`` (runtime/inside.h) are, in words of 64 bits."""

COUNTED = 0
"""What can wait for the next request: a count was written, or a page is to be overwritten."""

STACKS = 0x5C0000000000

SHARED_TOKEN = 1 << 62


class Request(IntEnum):
    """What C asks for: ``enum request`` of runtime/inside.h."""

    DONE = 0
    STEP = 1
    NOTE = 2
    LOCK = 3
    UNLOCK = 4
    SEAMCALL = 5
    ALLOC_PAGE = 6
    FREE_PAGE = 7
    WARN = 8
    PRINT = 9
    RELAX = 10
    MAY_SLEEP = 11
    CATCH_UP = 12
    RACE = 13
    INTERRUPTS = 14
    SOFTIRQS = 15
    CANNOT_SLEEP = 16
    IS_OFF = 17
    HELD = 18
    LOCKED = 19
    WORK = 20
    STAYS = 21
    CRASH = 22
    HANG = 23
    BAD_ACCESS = 24
    BUG = 25
    BAD_FREE = 26
    NO_MEMORY = 27
    TOO_MUCH = 28
    NOT_HELD = 29


_FUNCTIONS = {
    "open": "QQQ",
    "adopt": "iQQQQi",
    "reset": "ii",
    "begin_run": "ii",
    "save": "QQ",
    "load": "iisQ",
    "hash": "Q",
    "order_hash": "Q",
    "shared": "Qi",
    "start": "iQQQ",
    "resume": "i",
    "standing": "Qi",
    "count": "iQ",
    "peek": "iQ",
    "poke": "iQi",
    "fill_cache": "QiQi",
    "empty_cache": "iiQi",
}
"""What each function returns, and its arguments."""

_TYPES = {"Q": ctypes.c_uint64, "i": ctypes.c_int, "s": ctypes.c_char_p}

ROOM = 256
"""Pages that a cache may have."""

Function = Callable[..., int]


class Machine:
    """The one runtime of this process: its functions (runtime/*.c says what they do), and its state
    word by word, ``signed`` or not. ``pages`` is room for the PFNs of a cache.

    It is called with the interpreter's lock held, because the simulator is not to be left.

    Raises:
        BuildError: it cannot be built, or something lies where its memory has to be.
    """

    open: Function
    adopt: Function
    reset: Function
    begin_run: Function
    save: Function
    load: Function
    hash: Function
    order_hash: Function
    shared: Function
    start: Function
    resume: Function
    standing: Function
    count: Function
    peek: Function
    poke: Function
    fill_cache: Function
    empty_cache: Function

    def __init__(self) -> None:
        path = build.runtime()
        library = ctypes.PyDLL(str(path))
        for name, kinds in _FUNCTIONS.items():
            function = getattr(library, f"tdxc_{name}")
            function.restype, *function.argtypes = [_TYPES[kind] for kind in kinds]
            setattr(self, name, function)
        parts = elf.read(path)
        known = next(each for each in parts.symbols if each.name == "tdxc_hash")
        address = ctypes.cast(library.tdxc_hash, ctypes.c_void_p).value or 0
        base = address - known.address
        state = self.open(base, base + parts.end)
        if not state:
            raise BuildError(f"something lies in memory where C layers need theirs ({STACKS:#x})")
        raw = (ctypes.c_uint64 * WORDS).from_address(state)
        self.words = memoryview(raw).cast("B").cast("Q")
        self.signed = memoryview(raw).cast("B").cast("q")
        self.pages = array("Q", bytes(8 * ROOM))
        self.pages_at = self.pages.buffer_info()[0]


@cache
def machine() -> Machine:
    """The runtime, built and loaded when it is first asked for. Errors are those of Machine."""
    return Machine()
