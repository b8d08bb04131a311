"""Code under test that ends its whole process: an error of that code, with the run that led to it.

``os._exit`` leaves nothing behind, so nobody could say which design it was, and in which operation.
"""

from __future__ import annotations

import os
from typing import NoReturn

from tdxfuzz.sim.watchdog import in_run


class ProcessExitError(BaseException):
    """The code under test called ``os._exit``."""


def keep_process() -> None:
    """From now on ``os._exit`` raises :class:`ProcessExitError` in a run. Everywhere else, and in
    a process that a run has forked, it does what it did. C code ends the process all the same.
    """
    real = os._exit

    def exit_or_raise(status: int) -> NoReturn:
        if in_run():
            raise ProcessExitError(f"os._exit({status}) would end the whole process")
        real(status)

    os._exit = exit_or_raise
