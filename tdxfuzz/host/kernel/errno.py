"""Linux error numbers; functions return them negated, like the kernel's."""

from __future__ import annotations

EIO = 5
ENOENT = 2
EAGAIN = 11
ENOMEM = 12
EFAULT = 14
EBUSY = 16
EEXIST = 17
EINVAL = 22
ENOSPC = 28

NAMES = {
    EIO: "EIO",
    ENOENT: "ENOENT",
    EAGAIN: "EAGAIN",
    ENOMEM: "ENOMEM",
    EBUSY: "EBUSY",
    EEXIST: "EEXIST",
    EINVAL: "EINVAL",
    ENOSPC: "ENOSPC",
}


def errno_name(result: int) -> str:
    """``"0"`` or ``"-EBUSY"`` for what a function returned."""
    if result == 0:
        return "0"
    name = NAMES.get(-result)
    return f"-{name}" if name else str(result)
