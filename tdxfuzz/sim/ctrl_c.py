"""Who has interrupted: the user, or code under test that raises what Ctrl-C raises."""

from __future__ import annotations

import signal
from opcode import opmap

RAISE = opmap["RAISE_VARARGS"]
"""The instruction of ``raise``. Python never looks for signals in it, so no Ctrl-C comes there."""


def is_ctrl_c(error: BaseException) -> bool:
    """Whether an exception comes from the user's Ctrl-C: nobody's ``raise`` has made it, but for
    that of the handler of Ctrl-C.
    """
    if type(error) is not KeyboardInterrupt:
        return False
    at = error.__traceback__
    if at is None:
        return True
    while at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code
    handler = signal.getsignal(signal.SIGINT)
    if code is getattr(handler, "__code__", None):
        return True
    return code.co_code[at.tb_lasti] != RAISE
