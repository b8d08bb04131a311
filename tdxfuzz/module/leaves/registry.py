"""Which function models which leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

Handler = Callable[["TdxModule", "Call"], int]

HANDLERS: dict[int, Handler] = {}


def leaf(number: int) -> Callable[[Handler], Handler]:
    """Register a function as the model of leaf ``number``.

    The function reads operands from ``call.regs``, writes outputs there, returns a
    status or raises ``Refused``; the exit path releases what ``call`` holds.
    """

    def register(handler: Handler) -> Handler:
        assert number not in HANDLERS, f"leaf {number} is modelled twice"
        HANDLERS[number] = handler
        return handler

    return register
