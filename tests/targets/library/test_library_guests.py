"""Scripts of guests as values: shrunk, and written and read again."""

from __future__ import annotations

import json

from attrs import evolve

from tdxfuzz.module.platform import Platform
from tdxfuzz.targets.guest import GuestScript, Leave, Tdcall, Touch, script_objects, script_of
from tdxfuzz.targets.library.boot import plain_plan, seamcall
from tdxfuzz.targets.library.shrink import shrink
from tdxfuzz.targets.library.trial import Trial

ACCEPT = Tdcall(6, "TDG_MEM_PAGE_ACCEPT", 0, {"rcx": 0x1000}, None)
SCRIPT = GuestScript((Touch(0, False, None), ACCEPT, Touch(0x1000, True, None), Leave(1)))


def test_a_script_is_shrunk_step_by_step() -> None:
    world = plain_plan(Platform(), 1, 1 << 31).world
    call = evolve(seamcall("VP.ENTER", rcx=0x1000), guest=SCRIPT)

    def shows(trial: Trial) -> bool:
        scripts = [each.guest for each in trial.calls if each.guest is not None]
        return any(ACCEPT in script.operations for script in scripts)

    small = shrink(Trial(world, (call, call)), shows)
    assert [each.guest for each in small.calls] == [GuestScript((ACCEPT,))]


def test_what_a_guest_was_told_is_written_and_read_again() -> None:
    told = ("ok", "0xc000010000000001 OPERAND_INVALID|RCX rcx=0x1000 r13=0x7")
    written = json.loads(json.dumps(script_objects(SCRIPT, told)))
    script = script_of(written)
    assert script.told == told
    assert script_objects(script, told) == written
    assert [type(op) for op in script.operations] == [type(op) for op in SCRIPT.operations]
