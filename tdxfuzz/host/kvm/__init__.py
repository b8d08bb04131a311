"""KVM's TDX paths: VMs, control pages, the MMU. Shared by all designs."""

from tdxfuzz.host.kvm.paths import Kvm

__all__ = ["Kvm"]
