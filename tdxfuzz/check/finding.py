"""A finding: a broken invariant, with the step that broke it."""

from __future__ import annotations

from attrs import frozen


@frozen
class Finding:
    """What a check found.

    ``leaf`` and ``status`` name the SEAMCALL it happened in and how that ended (``-``
    if none is to blame), ``objects`` the kinds of things in conflict. Together with the
    check they are the bucket: findings of one bucket are one bug.
    """

    check: str
    leaf: str
    status: str
    objects: str
    step: int
    cpu: int
    message: str

    @property
    def bucket(self) -> str:
        """``check/leaf/status/objects``."""
        return f"{self.check}/{self.leaf}/{self.status}/{self.objects}"
