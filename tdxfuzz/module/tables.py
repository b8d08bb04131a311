"""In which TD and S-EPT states a leaf is allowed: data, no behaviour.

Source: include/auto_gen_1_5/op_state_lookup.c and sept_state_lookup.c. States of
migration are left out: no modelled leaf leads there.
"""

from __future__ import annotations

from tdxfuzz.module.sept_state import SeptState as S
from tdxfuzz.module.td import OpState as O

_ANY_INITIALIZED = frozenset({O.INITIALIZED, O.RUNNABLE})
_BUILD = frozenset({O.INITIALIZED})

OP_STATES: dict[int, frozenset[O]] = {
    0: frozenset({O.RUNNABLE}),  # VP.ENTER
    1: frozenset({O.UNINITIALIZED}),  # MNG.ADDCX
    2: _BUILD,  # MEM.PAGE.ADD
    3: _ANY_INITIALIZED,  # MEM.SEPT.ADD
    4: _BUILD,  # VP.ADDCX
    5: _ANY_INITIALIZED,  # MEM.PAGE.RELOCATE
    6: _ANY_INITIALIZED,  # MEM.PAGE.AUG
    7: _ANY_INITIALIZED,  # MEM.RANGE.BLOCK
    10: _BUILD,  # VP.CREATE
    11: _ANY_INITIALIZED,  # MNG.RD
    13: _ANY_INITIALIZED,  # MNG.WR
    15: _ANY_INITIALIZED,  # MEM.PAGE.DEMOTE
    16: _BUILD,  # MR.EXTEND
    17: _BUILD,  # MR.FINALIZE
    21: frozenset({O.UNINITIALIZED}),  # MNG.INIT
    22: _BUILD,  # VP.INIT
    23: _ANY_INITIALIZED,  # MEM.PAGE.PROMOTE
    25: _ANY_INITIALIZED,  # MEM.SEPT.RD
    29: _ANY_INITIALIZED,  # MEM.PAGE.REMOVE
    30: _ANY_INITIALIZED,  # MEM.SEPT.REMOVE
    38: _ANY_INITIALIZED,  # MEM.TRACK
    39: _ANY_INITIALIZED,  # MEM.RANGE.UNBLOCK
}

TLB_TRACKING_REQUIRED = frozenset({O.RUNNABLE})

_LEAF_IN_USE = frozenset({S.MAPPED, S.BLOCKED, S.PENDING, S.PENDING_BLOCKED})
_NON_LEAF = frozenset({S.NL_MAPPED, S.NL_BLOCKED})

SEPT_STATES: dict[int, frozenset[S]] = {
    2: frozenset({S.FREE}),  # MEM.PAGE.ADD
    3: frozenset({S.FREE, S.NL_MAPPED}),  # MEM.SEPT.ADD
    5: _LEAF_IN_USE,  # MEM.PAGE.RELOCATE
    6: frozenset({S.FREE}),  # MEM.PAGE.AUG
    7: frozenset({S.NL_MAPPED, S.MAPPED, S.PENDING}),  # MEM.RANGE.BLOCK
    15: _LEAF_IN_USE,  # MEM.PAGE.DEMOTE
    16: frozenset({S.MAPPED}),  # MR.EXTEND
    23: _NON_LEAF,  # MEM.PAGE.PROMOTE
    29: _LEAF_IN_USE,  # MEM.PAGE.REMOVE
    30: _NON_LEAF,  # MEM.SEPT.REMOVE
    39: frozenset({S.NL_BLOCKED, S.BLOCKED, S.PENDING_BLOCKED}),  # MEM.RANGE.UNBLOCK
}

_MAPPED_OR_PENDING = frozenset({S.MAPPED, S.PENDING})

GUEST_SEPT_STATES: dict[int, frozenset[S]] = {
    6: frozenset({S.PENDING}),  # TDG.MEM.PAGE.ACCEPT
    23: _MAPPED_OR_PENDING,  # TDG.MEM.PAGE.ATTR.RD
    24: _MAPPED_OR_PENDING,  # TDG.MEM.PAGE.ATTR.WR
}
"""For a guest's own leaves; where the state is another, the host has to be asked."""
