"""A reproducer: a case, and the finding that a replay must show."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Attribute, field, frozen, validators

from tdxfuzz.case.case import Case

FORMAT = 1
SUFFIX = ".tdx.toml"


def _at_least_zero() -> Callable[[object, Attribute[int], int], None]:
    return validators.and_(validators.instance_of(int), validators.ge(0))


@frozen
class Origin:
    """How a case was found, and its size as it was found. A shrunk case has none: every way to a
    bug ends in the same file.
    """

    operations: int = field(validator=_at_least_zero())
    preemptions: int = field(validator=_at_least_zero())
    engine: str = field(default="", validator=validators.instance_of(str))
    seed: int = field(default=0, validator=_at_least_zero())


@frozen
class Expect:
    """The bucket that a replay must show, and the message of the finding.

    If ``checks`` names any, only those checks are on.
    """

    bucket: str = field(
        validator=[validators.instance_of(str), validators.matches_re(r"[^/\s]+/.+")]
    )
    message: str = field(default="", validator=validators.instance_of(str))
    checks: tuple[str, ...] = ()

    @property
    def check(self) -> str:
        """The id of the check that fires."""
        return self.bucket.partition("/")[0]


@frozen
class DesignFile:
    """A user's design, or a user's KVM: its file, its class, and the hash of the file.

    A replay never loads this file by itself. The user names it again on the command line.
    """

    file: str = field(validator=validators.instance_of(str))
    class_name: str = field(validator=validators.instance_of(str))
    sha256: str = field(validator=validators.matches_re(r"[0-9a-f]{64}"))


@frozen
class Reproducer:
    """What a ``*.tdx.toml`` file says."""

    case: Case
    expect: Expect
    origin: Origin | None = None
    design_file: DesignFile | None = None
    kvm_file: DesignFile | None = None
