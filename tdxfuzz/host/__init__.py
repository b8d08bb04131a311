"""The Linux side: kernel primitives, KVM's TDX paths, and the designs under test."""
