"""Count the items that agree, and describe the first one that does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tdxfuzz.check.module_state import inconsistencies
from tdxfuzz.module.snapshot import Snapshot
from tdxfuzz.targets.recording import Fatal, LockEvent, RecordedCall
from tdxfuzz.targets.world import ModelUnderTest


class Count:
    """Items compared so far, in groups; the text of the first divergence.

    ``not_recorded`` has, for what of the final state a recording lacks, in how many traces that is
    so: nothing was compared there.
    """

    def __init__(self) -> None:
        self.items = 0
        self.agree = 0
        self.cut = 0
        self.not_modelled: set[str] = set()
        self.first: str | None = None
        self.groups: dict[str, list[int]] = {}
        self.not_recorded: Counter[str] = Counter()

    def add(self, group: str, items: int, agree: int, trouble: str | None = None) -> None:
        """Count items; ``trouble`` explains the first that does not agree, if any."""
        self.items += items
        self.agree += agree
        counts = self.groups.setdefault(group, [0, 0])
        counts[0] += items
        counts[1] += agree
        if trouble is not None and self.first is None:
            self.first = trouble

    def final(self, recorded: Mapping[str, object] | None) -> None:
        """A trace came to its end: of its final state only what was recorded is compared."""
        if recorded is None:
            self.not_recorded["the final state"] += 1
        else:
            missing = (part for part in Snapshot.__annotations__ if part not in recorded)
            self.not_recorded.update(f"'{part}' in the final state" for part in missing)

    def leaf_missing(self, name: str) -> None:
        """A trace ends here: the model has no such leaf yet."""
        self.cut += 1
        self.not_modelled.add(name)


def explain(
    where: str, before: Sequence[RecordedCall], call: RecordedCall, differences: list[str]
) -> str:
    """A divergence in full: the call, what differs, and the calls that led to it."""
    lines = [f"{where}: {call}", *(f"  {line}" for line in differences)]
    if before:
        lines.append("  the calls before it:")
        lines += [f"    {earlier} = {earlier.status}" for earlier in before[-5:]]
    return "\n".join(lines)


def event_differences(wanted: Sequence[LockEvent], got: Sequence[LockEvent]) -> list[str]:
    """The first event that differs, with those around it."""
    if list(wanted) == list(got):
        return []
    at = first_difference(wanted, got)
    lines = [f"events differ at index {at} ({len(wanted)} recorded, {len(got)} in the model):"]
    for i in range(max(at - 3, 0), at + 3):
        left = event_text(wanted[i]) if i < len(wanted) else "(none)"
        right = event_text(got[i]) if i < len(got) else "(none)"
        mark = "  " if left == right else "! "
        lines.append(f"  {mark}{i:3} recorded {left:45} model {right}")
    return lines


def first_difference(wanted: Sequence[object], got: Sequence[object]) -> int:
    """Index of the first element that differs, or the length of the shorter one."""
    pairs = zip(wanted, got, strict=False)
    shorter = min(len(wanted), len(got))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)


def event_text(event: LockEvent) -> str:
    """One event on one line."""
    op, mode, what, ok = event
    result = {True: "", False: " FAILED", None: " DIED"}[ok]
    return f"{op} {mode} {what}{result}".replace("  ", " ")


def state_differences(wanted: Mapping[str, object], got: Mapping[str, object]) -> list[str]:
    """Each part of a snapshot that differs, of those that ``wanted`` has."""
    lines = []
    for part in got:
        if part not in wanted:
            continue
        left, right = wanted[part], got[part]
        if left == right:
            continue
        if isinstance(left, list) and isinstance(right, list):
            missing = [item for item in left if item not in right]
            extra = [item for item in right if item not in left]
            lines.append(f"state, {part}: only recorded {missing}; only in the model {extra}")
        else:
            lines.append(f"state, {part}: recorded {left}, model {right}")
    return lines


def fatal_differences(wanted: Fatal | None, got: Fatal | None) -> list[str]:
    """Whether the module died, where, and of what."""
    return [] if wanted == got else [f"fatal (CPU, id): recorded {wanted}, model {got}"]


def self_contradictions(bench: ModelUnderTest) -> list[str]:
    """Where the model's tables do not agree with each other; no call may be in flight."""
    return [f"model, {part}: {message}" for part, message in inconsistencies(bench.module)]


def replay_setup(setup: Sequence[RecordedCall], bench: ModelUnderTest, where: str) -> str | None:
    """Make the calls that lead up to what is compared; the first divergence, if any.

    Raises:
        LeafNotModelledError: the model lacks a leaf.
    """
    for i, call in enumerate(setup):
        differences = call.differences(call.on(bench))
        if differences:
            return explain(f"{where}, set-up call {i}", setup[:i], call, differences)
    return None
