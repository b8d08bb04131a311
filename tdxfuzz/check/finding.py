"""A finding: a broken invariant, with the step that broke it."""

from __future__ import annotations

from attrs import frozen

WARN = "WARN"
"""Stands for a status where no SEAMCALL is to blame, but the code under test complains."""


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

    def is_in(self, bucket: str) -> bool:
        """Whether it is of a bucket that a file names. Older files call all WARNs of
        a design one bucket, with no text of theirs.
        """
        of_all = f"{self.check}/{self.leaf}/{self.status}/-"
        return bucket == self.bucket or (self.status == WARN and bucket == of_all)
