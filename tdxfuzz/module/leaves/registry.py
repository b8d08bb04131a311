"""Which function models which leaf, of the host and of the guest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call, GuestCall
    from tdxfuzz.module.module import TdxModule

Handler = Callable[["TdxModule", "Call"], int]

GuestHandler = Callable[["TdxModule", "GuestCall"], int]

HANDLERS: dict[int, Handler] = {}
GUEST_HANDLERS: dict[int, GuestHandler] = {}


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


def tdcall(number: int) -> Callable[[GuestHandler], GuestHandler]:
    """Register a function as the model of guest leaf ``number``.

    As for :func:`leaf`; it may also raise ``TdExit``, having released what it held.
    """

    def register(handler: GuestHandler) -> GuestHandler:
        assert number not in GUEST_HANDLERS, f"guest leaf {number} is modelled twice"
        GUEST_HANDLERS[number] = handler
        return handler

    return register
