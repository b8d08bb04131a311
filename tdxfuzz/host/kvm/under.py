"""A design under a KVM of the user's."""

from __future__ import annotations

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kvm.paths import Kvm

_made: dict[tuple[type, type], type[RefcountLayer]] = {}


def under(layer: type[RefcountLayer], kvm: type[Kvm]) -> type[RefcountLayer]:
    """The same design, run under ``kvm``: a class of its own, with the name of the design."""
    made = _made.get((layer, kvm))
    if made is None:
        own = {"kvm": kvm, "__module__": layer.__module__, "__doc__": layer.__doc__}
        made = _made[layer, kvm] = type(layer.__name__, (layer,), own)
    return made


def name_under(design: str, kvm: type[Kvm]) -> str:
    """What cases call a design under a KVM: ``"merged+NoTrack"``."""
    return f"{design}+{kvm.__name__}"
