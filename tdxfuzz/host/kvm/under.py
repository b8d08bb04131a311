"""A design under a KVM of the user's."""

from __future__ import annotations

from functools import cache

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kvm.paths import Kvm


@cache
def under(layer: type[RefcountLayer], kvm: type[Kvm]) -> type[RefcountLayer]:
    """The same design, run under ``kvm``: a class of its own, with the name of the design."""
    own = {"kvm": kvm, "__module__": layer.__module__, "__doc__": layer.__doc__}
    return type(layer.__name__, (layer,), own)


def name_under(design: str, kvm: type[Kvm]) -> str:
    """What cases call a design under a KVM: ``"merged+NoTrack"``."""
    return f"{design}+{kvm.__name__}"
