"""A finding: a broken invariant, with the step that broke it."""

from __future__ import annotations

from attrs import frozen


@frozen
class Finding:
    """What a check found.

    ``leaf`` and ``status`` name the SEAMCALL in which it happened, and its answer (``-`` if
    no SEAMCALL is to blame). ``objects`` names the kinds of things in conflict. These three
    and the check are the bucket. All findings of one bucket are treated as one bug.
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
