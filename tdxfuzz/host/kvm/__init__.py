"""KVM's TDX paths: VMs, control pages, the MMU. Shared by all designs."""
