"""Values that operands may have, by what they mean where the module stands."""

from __future__ import annotations

from random import Random

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.host.layout import PARAMS_HPA
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.snapshot import used_pages
from tdxfuzz.targets.library.boot import BootPlan

_RANGES = (0, 1, 2, 3, 4, 511)
_INDICES = (0, 1, 255, 256, 511)
_OTHERS = 4
"""Pages of a range that are drawn for each trial, beside those."""

_MORE_INDICES = range(320, 360)
FIT, FIT_TOGETHER = 0.85, 0.98
"""That share of calls alone, and of calls of several LPs: a call that is refused for its operand
meets nobody.
"""

_U64 = (1 << 64) - 1


class Pools:
    """Drawn from a module that is called in between: :meth:`look` again when it has changed.

    ``fit`` is the share of operands that are of the kind the leaf wants.
    """

    def __init__(self, rng: Random, plan: BootPlan) -> None:
        self.fit = FIT
        self._indices = (*_INDICES, *(rng.randrange(512) for _ in range(_OTHERS)))
        self._rng = rng
        self._mask = plan.world.platform.key_bits.mask
        ranges = [tdmr.base + i * SIZE_2M for tdmr in plan.tdmrs for i in _RANGES]
        self.ranges = [hpa for hpa in ranges if hpa < 1 << 52]
        platform = plan.world.platform
        first, last = platform.private_hkid_min, platform.private_hkid_max
        ends = [end for it in plan.tdmrs for end in (it.base, it.base + it.size)]
        ends += [1 << platform.max_pa, 1 << platform.key_bits.start, 1 << 52, 1 << 64]
        steps = (-SIZE_2M, -SIZE_4K, 0, SIZE_4K)
        self._edges = [end + step & _U64 for end in ends for step in steps]
        self._edges += [first - 1, last, last + 1]
        gpas = [0, SIZE_4K, SIZE_2M, SIZE_1G]
        self.kinds: dict[str, list[int]] = {
            "gpa": [0, SIZE_4K, 1, SIZE_2M | 1, SIZE_1G | 1, 2, 3, 1 << 39 | 3, 4],
            "plain gpa": gpas,
            "hkid": [plan.hkid, *range(first, first + 4), last],
            "params": [PARAMS_HPA],
        }
        self.owned: dict[int, list[int]] = {}
        self.hkids = range(first, last + 1)
        self._focus = rng.sample(self.ranges, min(3, len(self.ranges)))

    def want_more(self) -> None:
        """More pages of each range: for a TD that is to run, with its memory."""
        self._indices = tuple(sorted({*self._indices, *_MORE_INDICES}))

    def want_all(self) -> None:
        """All pages of one range, which is to be filled, and what a second one has to back it."""
        self._indices = tuple(range(512))
        self._focus = self._focus[:2]

    def look(self, module: TdxModule) -> None:
        """See what there is."""
        of_type: dict[int, list[int]] = {}
        self.owned = {}
        for entry in used_pages(module):
            of_type.setdefault(int(entry.pt), []).append(entry.hpa)
            self.owned.setdefault(entry.owner_hpa, []).append(entry.hpa)
        nodes = [node for node in module.pamt.nodes() if node.is_node]
        backing = [page.hpa for node in nodes for page in node.backing]
        paired = {node.hpa for node in nodes}
        taken = {hpa for pages in of_type.values() for hpa in pages} | set(backing)

        def free(has_pair: bool) -> list[int]:
            return [
                page
                for hpa in self._focus
                if (hpa in paired) is has_pair
                for i in self._indices
                if (page := hpa + i * SIZE_4K) not in taken
            ]

        used = [hpa for pages in of_type.values() for hpa in pages]
        bare = free(has_pair=False)
        if not module.pamt.dynamic:
            paired = set(self._focus)
        self.kinds |= {
            "tdr": of_type.get(PT.TDR, []),
            "tdvpr": of_type.get(PT.TDVPR, []),
            "new page": free(has_pair=True),
            "PAMT page": bare or free(has_pair=True),
            "used page": used,
            "range": [hpa | 1 for hpa in self._focus],
            "backing": backing,
        }

    def any_of(self, kind: str) -> int:
        """A value of a kind, or any page if there is none."""
        values = self.kinds.get(kind) or self.kinds.get("PAMT page") or self.ranges
        return self._rng.choice(values)

    def fitting(self, kind: str) -> int:
        """Most often a value of the kind; else one that is nearly so, or garbage."""
        rng = self._rng
        if rng.random() < self.fit:
            return self.any_of(kind)
        if rng.random() < 0.5:
            return self.any_of(rng.choice(list(self.kinds)))
        return self.garbage(self.any_of(kind))

    def garbage(self, near: int) -> int:
        """A value that is wrong in some way, or only unusual."""
        rng = self._rng
        return rng.choice(
            (
                0,
                _U64,
                near ^ 1 << rng.randrange(64),
                near ^ 1 << rng.randrange(13),
                near | self._mask & rng.getrandbits(64),
                near | 1 << 52,
                near + SIZE_1G & _U64,
                near & -SIZE_2M,
                rng.choice(self._edges),
                rng.choice(self._edges) | near & (SIZE_4K - 1),
                rng.choice(self.ranges) + rng.choice(_INDICES) * SIZE_4K | rng.randrange(4),
                rng.getrandbits(64),
            )
        )
