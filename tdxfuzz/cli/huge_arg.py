"""``--huge 0.5``, ``few``, ``real`` on the command line."""

from __future__ import annotations

import click

from tdxfuzz.generate.huge_programs import EVERY, EVERY_REAL, Huge

_NAMED = {"few": EVERY, "real": EVERY_REAL}


class HugeShare(click.ParamType[Huge]):
    """How many programs have 2MB pages: a share, or a name for all of them."""

    name = "share"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Huge:
        if isinstance(value, Huge):
            return value
        text = str(value)
        if text in _NAMED:
            return _NAMED[text]
        try:
            return Huge(float(text))
        except ValueError:
            self.fail(f"{text!r} is not a share; write 0 to 1, few or real", param, ctx)
