"""The runtime as Python sees it: its functions, and the state that it shares."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from functools import cache

from tdxfuzz.host.c import build, elf
from tdxfuzz.host.c.errors import BuildError

CONTEXTS = 17
LOOK_UP = CONTEXTS - 1
"""The context in which the harness asks where a reference count is."""

CLOCK, DUE, CONTEXT, THREAD, TRACED, RESULT, ARG = 0, 1, 2, 3, 4, 5, 6
PC = 12
QUIET, SHARED, TOKENS, TOKEN, REGS = 14, 15, 16, 17, 25
SEEN = REGS + 13
WORDS = SEEN + CONTEXTS
"""Where the fields of ``struct state`` (runtime/inside.h) are, in words of 64 bits."""

MOST_TOKENS = TOKEN - TOKENS + 7
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
    RESET_PAGE = 8
    WARN = 9
    PRINT = 10
    RELAX = 11
    MAY_SLEEP = 12
    COUNTED = 13
    RACE = 14
    INTERRUPTS = 15
    CANNOT_SLEEP = 16
    HELD = 17
    CRASH = 18
    HANG = 19
    BAD_ACCESS = 20
    BUG = 21
    BAD_FREE = 22
    NO_MEMORY = 23
    TOO_MUCH = 24
    NOT_HELD = 25


_FUNCTIONS = {
    "tdxc_open": "QQ",
    "tdxc_adopt": "QQQQ",
    "tdxc_reset": "i",
    "tdxc_begin_run": "i",
    "tdxc_save": "p",
    "tdxc_load": "ipQ",
    "tdxc_hash": "",
    "tdxc_order_hash": "",
    "tdxc_start": "iiQQQQ",
    "tdxc_resume": "iiQ",
    "tdxc_standing": "i",
    "tdxc_count": "Q",
    "tdxc_peek": "Q",
    "tdxc_poke": "Qi",
    "tdxc_fill_cache": "ipi",
    "tdxc_empty_cache": "ipi",
}
_TYPES = {"Q": ctypes.c_uint64, "i": ctypes.c_int, "p": ctypes.c_void_p}
_BIG = ("tdxc_open", "tdxc_save", "tdxc_hash", "tdxc_order_hash", "tdxc_standing", "tdxc_fill_cache")


class Machine:
    """The one runtime of this process. ``signed`` and ``words`` are its state, word by word.

    It is called with the interpreter's lock held, because the simulator is not to be left.

    Raises:
        BuildError: it cannot be built, or something lies where its memory has to be.
    """

    def __init__(self) -> None:
        path = build.runtime()
        library = ctypes.PyDLL(str(path))
        for name, arguments in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes = [_TYPES[letter] for letter in arguments]
            function.restype = ctypes.c_uint64 if name in _BIG else ctypes.c_int
            setattr(self, name.removeprefix("tdxc_"), function)
        parts = elf.read(path)
        known = next(each for each in parts.symbols if each.name == "tdxc_hash")
        base = (ctypes.cast(library.tdxc_hash, ctypes.c_void_p).value or 0) - known.address
        state = self.open(base, base + parts.end)
        if not state:
            raise BuildError("something lies in memory where C layers need theirs (0x5c0000000000)")
        raw = (ctypes.c_uint64 * WORDS).from_address(state)
        self.words = memoryview(raw).cast("B").cast("Q")
        self.signed = memoryview(raw).cast("B").cast("q")
        self.pages = (ctypes.c_uint64 * 64)()

    def __getattr__(self, name: str) -> "ctypes._NamedFuncPointer":
        raise AttributeError(name)


@cache
def machine() -> Machine:
    """The runtime, built and loaded when it is first asked for. Errors are those of Machine."""
    return Machine()
