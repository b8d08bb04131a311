"""``docs/concurrency.md``: what each leaf locks, in which mode and order, per outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tools.observe import Observation, Taken

HEAD = """# Which locks a SEAMCALL takes, and in which order

Words: the [glossary](glossary.md).

Made from the running model by `python -m tools` (a test keeps it true): every call of the
recordings and of the tests in `tests/module/leaves`, watched. The module's ABI document lists
resources without their order; this page has it, for success and for each error.

How to read a row. Locks stand in the order in which they are taken. `1G[RCX] SH, 2M[RCX] SH,
4K[RCX] EX` is a walk to the page in RCX; `SH→EX` a promotion; `4K[its TDR]` an entry that the
module reaches without a walk. (Parentheses): only in some of the calls with this outcome, mostly
because the walk ends at 2MB where a range has no PAMT pair. ✗ failed, and ended the call.
`+1`, `bts`, `btr`, `cmpxchg` are locked instructions on counters, bitmap bits and S-EPT entries.
Unless a *released* line says otherwise, the exit path releases in the reverse order. All locks
are try-locks: the first that fails ends the call with BUSY. A failed acquire of a host-priority
lock (PAMT, OP_STATE, SEPT_TREE, SEPTE) leaves its host-priority bit set.
"""

Row = tuple[str, Sequence[tuple[Taken, bool]], tuple[str, ...]]
"""Status, what is taken with whether it always is, release order if not the reverse."""

Key = tuple[Taken, int]
"""One acquisition and how many equal ones came before it in the call."""


def render(observations: Iterable[Observation]) -> str:
    """The whole page."""
    by_leaf: dict[str, dict[str, Counter[Observation]]] = {}
    for seen in observations:
        by_leaf.setdefault(seen.leaf, {}).setdefault(seen.status, Counter())[seen] += 1
    parts = [HEAD]
    for leaf in sorted(by_leaf):
        parts.append(f"\n## {leaf}\n\n| outcome | taken, in order |\n|---|---|\n")
        for status in sorted(by_leaf[leaf], key=_success_first):
            parts += [_line(row) for row in _rows(status, by_leaf[leaf][status])]
    return "".join(parts)


def _success_first(status: str) -> tuple[bool, str]:
    return status != "SUCCESS", status


def _line(row: Row) -> str:
    status, taken, released = row
    texts = [str(item) if always else f"({item})" for item, always in taken]
    text = ", ".join(texts).replace("), (", ", ") or "nothing"
    if released:
        text += f"<br>*released:* {', '.join(released)}"
    return f"| `{escaped(status)}` | {escaped(text)} |\n"


def escaped(text: str) -> str:
    """For a cell of a Markdown table."""
    return text.replace("|", "\\|")


def _rows(status: str, seen: Iterable[Observation]) -> list[Row]:
    """Calls that failed at one place, or went one way, share a row."""
    groups: dict[object, list[Observation]] = {}
    for observation in seen:
        groups.setdefault((observation.taken[-1:], _kinds(observation)), []).append(observation)
    rows: list[Row] = []
    for group in groups.values():
        merged = merge([observation.taken for observation in group])
        if merged is None:
            rows += [(status, [(t, True) for t in o.taken], _released(o)) for o in sorted(group)]
        else:
            longest = max(group, key=lambda o: (len(o.taken), o))
            rows.append((status, merged, _released(longest)))
    return sorted(rows, key=lambda row: [str(item) for item, _ in row[1]])


def _kinds(observation: Observation) -> tuple[str, ...]:
    """What was modified: a 2MB page and a 4KB page are not the same way to succeed."""
    return tuple(item.mode for item in observation.taken if item.resource == "CHLDCNT")


def _released(observation: Observation) -> tuple[str, ...]:
    return observation.released


def merge(sequences: Sequence[tuple[Taken, ...]]) -> list[tuple[Taken, bool]] | None:
    """One order that has all of them in it, with what is always there marked.

    Returns:
        None if they contradict each other about an order.
    """
    numbered = [_numbered(sequence) for sequence in sequences]
    keys = {key for sequence in numbered for key in sequence}
    after: dict[Key, set[Key]] = {key: set() for key in keys}
    for sequence in numbered:
        for i, key in enumerate(sequence):
            after[key].update(sequence[i + 1 :])
    merged: list[tuple[Taken, bool]] = []
    left = set(keys)
    longest = max(numbered, key=lambda keys_of_one: (len(keys_of_one), keys_of_one))
    preference = {key: i for i, key in enumerate(longest)}
    while left:
        first = [key for key in left if not any(key in after[other] for other in left - {key})]
        if not first:
            return None
        key = min(first, key=lambda k: (preference.get(k, len(longest)), k))
        left.remove(key)
        merged.append((key[0], all(key in sequence for sequence in numbered)))
    return merged


def _numbered(sequence: tuple[Taken, ...]) -> list[Key]:
    seen: Counter[Taken] = Counter()
    keys = []
    for item in sequence:
        keys.append((item, seen[item]))
        seen[item] += 1
    return keys
