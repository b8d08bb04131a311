"""Checkpoints: files from which an unfinished search in all orders can continue.

The file is packed text. The first line is a JSON object that identifies the search. The rest is
what is left to do (one line for each branch, as JSON) and what is remembered (the key of a
state, and how it was explored).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attrs import astuple

from tdxfuzz.verify.progress import Edge, StateGraph
from tdxfuzz.verify.sleep_sets import Transition
from tdxfuzz.verify.worklist import Accesses, Branch, SearchCounts, Worklist

FORMAT = 7

PACKAGE = Path(__file__).parents[1]
CODE = frozenset({".py", ".so", ".c", ".h"})


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the text names file and field."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


def save(path: Path, identity: str, worklist: Worklist, counts: SearchCounts) -> None:
    """Write a checkpoint; an older one is replaced only when the new one is complete.

    Args:
        path: the file.
        identity: what is being searched: design, scenario, bounds.
        worklist: what is left and remembered.
        counts: the counts so far.
    """
    header = {
        "format": FORMAT,
        "code": _our_code(),
        "identity": identity,
        "counts": {
            name: getattr(counts, name)
            for name in ("states", "transitions", "schedules", "depth", "passes", "seconds")
        },
        "finals": sorted(digest.hex() for digest in counts.finals),
        "seen": sorted(counts.seen),
        "met": sorted(counts.met),
        "accesses": {piece: astuple(done) for piece, done in worklist.accesses.items()},
        "contended": sorted(worklist.contended),
        "began": worklist.began,
        "loops": worklist.loops,
        "graph": None if worklist.graph is None else _graph_parts(worklist.graph),
        "todo": len(worklist.todo),
        "remembered": len(worklist.remembered),
    }
    beside = path.with_name(path.name + ".part")
    with gzip.open(beside, "wt", encoding="ascii", compresslevel=1) as file:
        file.write(json.dumps(header) + "\n")
        for branch in worklist.todo:
            file.write(json.dumps(None if branch is None else _parts(branch)) + "\n")
        for key, how in worklist.remembered.items():
            file.write(f"{key.hex()} {how}\n")
    beside.replace(path)


def load(path: Path, identity: str) -> tuple[Worklist, SearchCounts]:
    """Read a checkpoint of the same search.

    Raises:
        CheckpointError: it cannot be read, or belongs to another search.
    """
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            header = json.loads(file.readline())
            if header["format"] != FORMAT:
                raise CheckpointError(path, f"format: {header['format']!r} is not {FORMAT}")
            if header["code"] != _our_code():
                raise CheckpointError(path, "code: another version of tdxfuzz has written it")
            if header["identity"] != identity:
                raise CheckpointError(
                    path,
                    f"identity: the checkpoint is of {header['identity']!r}, not of {identity!r}",
                )
            lines = file.read().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CheckpointError(path, f"cannot be read: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(path, f"not a checkpoint: {error!r}") from None
    try:
        todo, remembered = int(header["todo"]), int(header["remembered"])
        if len(lines) != todo + remembered:
            raise ValueError(f"{todo + remembered} lines are announced, but it has {len(lines)}")
        worklist = Worklist(
            todo=[_branch(json.loads(line)) for line in lines[:todo]],
            remembered={
                bytes.fromhex(key): int(how) for key, how in (line.split() for line in lines[todo:])
            },
            accesses={piece: Accesses(*done) for piece, done in header["accesses"].items()},
            contended=set(header["contended"]),
            began=_two(header["began"]),
            loops=bool(header["loops"]),
            graph=None if header["graph"] is None else _graph(header["graph"]),
        )
        counts = SearchCounts(
            **header["counts"],
            finals={bytes.fromhex(digest) for digest in header["finals"]},
            seen=set(header["seen"]),
            met=set(header["met"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(path, f"not a checkpoint: {error}") from None
    return worklist, counts


@cache
def _our_code() -> str:
    """A digest of tdxfuzz itself. Another model, design or search may go on otherwise from a state,
    or have other states.
    """
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*")):
        if file.suffix in CODE:
            digest.update(f"{file.relative_to(PACKAGE)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _parts(branch: Branch) -> tuple[object, ...]:
    """A branch for JSON. A sleeper of whom it is not known yet what it does is not kept: it
    will be tried once more than need be.
    """
    asleep = {cpu: own.pieces for cpu, own in branch.asleep.items() if own.is_known}
    state, cpu = branch.chosen
    return branch.switches, branch.budget, branch.local, (state.hex(), cpu), asleep


def _branch(data: object) -> Branch | None:
    """A branch from JSON: lists become tuples, all the way down."""
    if data is None:
        return None
    if not isinstance(data, list) or len(data) != 5:
        raise ValueError("a branch must have five parts")
    *plain, (state, cpu), sleepers = data
    switches, budget, local = (_tuples(part) for part in plain)
    if not (isinstance(switches, tuple) and isinstance(budget, int)):
        raise TypeError("a branch must begin with its switches and its budget")
    if not isinstance(local, tuple):
        raise TypeError("a branch must end with the CPUs' memory")
    asleep = {
        int(cpu): Transition({str(piece): int(how) for piece, how in own.items()}, over=True)
        for cpu, own in sleepers.items()
    }
    return Branch(switches, budget, local, (bytes.fromhex(state), int(cpu)), asleep)


def _graph_parts(graph: StateGraph) -> dict[str, object]:
    """A graph of states for JSON."""
    return {
        "start": None if graph.start is None else graph.start.hex(),
        "idle": {state.hex(): idle for state, idle in graph.idle.items()},
        "edges": [
            (state.hex(), cpu, edge.to.hex(), edge.steps, edge.stepped, edge.idle)
            for state, edges in graph.edges.items()
            for cpu, edge in edges.items()
        ],
    }


def _graph(data: Mapping[str, Any]) -> StateGraph:
    """A graph of states from JSON."""
    idle = {bytes.fromhex(state): int(cpus) for state, cpus in data["idle"].items()}
    start = None if data["start"] is None else bytes.fromhex(data["start"])
    graph = StateGraph(start, idle, {state: {} for state in idle})
    for state, cpu, to, *counts in data["edges"]:
        edge = Edge(bytes.fromhex(to), *map(int, counts))
        graph.edges[bytes.fromhex(state)][int(cpu)] = edge
    return graph


def _two(data: object) -> tuple[int, int]:
    match data:
        case [int(one), int(other)]:
            return one, other
    raise ValueError(f"began: must be two numbers, not {data!r}")


def _tuples(data: object) -> object:
    if isinstance(data, list):
        return tuple(_tuples(item) for item in data)
    if isinstance(data, int):
        return data
    raise TypeError(f"must be a number, not {data!r}")
