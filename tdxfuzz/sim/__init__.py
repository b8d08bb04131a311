"""A deterministic simulator of CPUs that share memory.

Code under test is plain Python that touches shared state through *cells*. Before
each atomic action it announces a *step*; at every step, and nowhere else, another
simulated CPU may run instead. A run is fixed by its programs and its schedule, so it
can be replayed, searched and shrunk. Nothing in this package knows what TDX is.
"""

from tdxfuzz.sim.access import BLIND, EVENT, READ, RMW, SHARED, WRITE, access_name
from tdxfuzz.sim.cell import Cell, NamedCell, Variable
from tdxfuzz.sim.contents import GUARDED, STATE, STATE_AND_MEMORY, Contents, Numbers
from tdxfuzz.sim.cpu import Cpu, State
from tdxfuzz.sim.ctrl_c import INTERRUPTIONS, deaf_children, is_ctrl_c
from tdxfuzz.sim.deadlock import Deadlock
from tdxfuzz.sim.declared import Declared, roles_of
from tdxfuzz.sim.determinism import LOOK_FOR, Nondeterminism, check_determinism
from tdxfuzz.sim.errors import (
    CodePlace,
    Hang,
    HarnessError,
    OutOfTime,
    StepBound,
    StopRun,
    StrayExitError,
)
from tdxfuzz.sim.fair_turns import FairTurns
from tdxfuzz.sim.fault import Fault
from tdxfuzz.sim.follow_schedule import FollowSchedule
from tdxfuzz.sim.livelock import MOST_ROUNDS, Livelock
from tdxfuzz.sim.local import LocalMemory
from tdxfuzz.sim.lock import FairLock, FairRwLock, WaitLock
from tdxfuzz.sim.outcome import End, Outcome
from tdxfuzz.sim.retry_loop import counters_of, site_of
from tdxfuzz.sim.rewind import NotRewindableError, Rewind
from tdxfuzz.sim.schedule import EMPTY, Schedule, Switch
from tdxfuzz.sim.simulator import MORE, NEVER, Policy, Simulator, default_choice
from tdxfuzz.sim.softirq import Softirq
from tdxfuzz.sim.trace import Record, Trace
from tdxfuzz.sim.watchdog import time_limit, watched
from tdxfuzz.sim.why import Why
from tdxfuzz.sim.worker import Worker

__all__ = [
    "BLIND",
    "EMPTY",
    "EVENT",
    "GUARDED",
    "INTERRUPTIONS",
    "LOOK_FOR",
    "MORE",
    "MOST_ROUNDS",
    "NEVER",
    "READ",
    "RMW",
    "SHARED",
    "STATE",
    "STATE_AND_MEMORY",
    "WRITE",
    "Cell",
    "CodePlace",
    "Contents",
    "Cpu",
    "Deadlock",
    "Declared",
    "End",
    "FairLock",
    "FairRwLock",
    "FairTurns",
    "Fault",
    "FollowSchedule",
    "Hang",
    "HarnessError",
    "Livelock",
    "LocalMemory",
    "NamedCell",
    "Nondeterminism",
    "NotRewindableError",
    "Numbers",
    "OutOfTime",
    "Outcome",
    "Policy",
    "Record",
    "Rewind",
    "Schedule",
    "Simulator",
    "Softirq",
    "State",
    "StepBound",
    "StopRun",
    "StrayExitError",
    "Switch",
    "Trace",
    "Variable",
    "WaitLock",
    "Why",
    "Worker",
    "access_name",
    "check_determinism",
    "counters_of",
    "deaf_children",
    "default_choice",
    "is_ctrl_c",
    "roles_of",
    "site_of",
    "time_limit",
    "watched",
]
