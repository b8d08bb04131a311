"""What a verdict covers, and what it does not: derived from the case and its bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import AREA_OPERATIONS
from tdxfuzz.run.session import Design, checks_of
from tdxfuzz.verify.worklist import Bounds

MEMORY = "sequentially consistent"
"""The memory order of every search: a step is seen by all CPUs at once."""

ENTERS = ("enter", "TDH.VP.ENTER")
"""Operations in which a vCPU runs."""


@frozen
class Covers:
    """What a search in all orders is about.

    ``preemptions`` None means all orders; ``huge_pages`` that an operation maps or splits 2MB
    pages, ``running_vcpus`` that one enters a guest. ``faults`` are the kinds that are injected,
    ``checks`` those that listen, ``silent`` those that could and do not.
    """

    cpus: int
    preemptions: int | None
    huge_pages: bool
    running_vcpus: bool
    faults: tuple[str, ...]
    checks: tuple[str, ...]
    silent: tuple[str, ...]
    module_variant: str

    def document(self) -> Mapping[str, object]:
        """With the keys scripts rely on."""
        return {
            "cpus": self.cpus,
            "preemptions": self.preemptions,
            "huge_pages": self.huge_pages,
            "running_vcpus": self.running_vcpus,
            "faults": list(self.faults),
            "checks": list(self.checks),
            "module_variant": self.module_variant,
            "memory": MEMORY,
        }


def covers(case: Case, bounds: Bounds, design: Design = None) -> Covers:
    """What a search of a case within bounds is about; ``design`` is that of the user."""
    names = {op.name for program in (case.setup, *case.programs) for op in program}
    checks = checks_of(case.design, design)
    listening = [name for name in checks if not case.checks or name in case.checks]
    return Covers(
        cpus=case.world.cpus,
        preemptions=bounds.preemptions,
        huge_pages=not names.isdisjoint(AREA_OPERATIONS),
        running_vcpus=not names.isdisjoint(ENTERS),
        faults=tuple(sorted({fault.kind for fault in case.faults})),
        checks=tuple(listening),
        silent=tuple(name for name in checks if name not in listening),
        module_variant=case.world.module_variant,
    )


def not_covered(passes: Sequence[Covers]) -> str:
    """What several passes together leave out, in one line."""
    return "; ".join(_left_out(passes))


def _left_out(passes: Sequence[Covers]) -> Iterator[str]:
    yield f"more than {max(each.cpus for each in passes)} CPUs"
    bounded = [each.preemptions for each in passes if each.preemptions is not None]
    if bounded:
        some = "" if len(bounded) == len(passes) else f" in {len(bounded)} of {len(passes)} results"
        least = min(bounded)
        yield f"more than {least} preemption{'' if least == 1 else 's'}{some}"
    if not any(each.huge_pages for each in passes):
        yield "2MB pages"
    if not any(each.running_vcpus for each in passes):
        yield "running vCPUs"
    if not any(each.faults for each in passes):
        yield "faults"
    silent = set.intersection(*(set(each.silent) for each in passes))
    if silent:
        yield f"what {', '.join(sorted(silent))} would find"
    yield "weaker memory order"
