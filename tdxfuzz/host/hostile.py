"""No host layer: a hostile host calls the module as it likes."""

from __future__ import annotations

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.hint import Hint


class Hostile(RefcountLayer):
    """Raw SEAMCALLs from every CPU. Only a set-up, which runs alone, is made with KVM's
    paths; its get adds what is missing, and its put leaves the pair in place.
    """

    declared_leaks = frozenset({"idle-pair"})

    get = Hint.get

    def put(self, pfn: int, hint: bool = False) -> None:
        """Nothing: the pair stays."""
