"""What a campaign is about. It is written down once; the same command goes on with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import TypeVar

import cattrs
from attrs import asdict, fields, frozen

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.host.design_file import DesignFileError, class_in, digest_of, kvm_in, split
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.kvm.under import under
from tdxfuzz.host.variant_file import load_variant
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.repro.reproducer import DesignFile
from tdxfuzz.run.session import Design
from tdxfuzz.sim import HarnessError

T = TypeVar("T")


@frozen
class Subject:
    """A design of the campaign: its name, and for a user's its file, class and version. ``kvm`` is
    ``FILE.py:Class`` of the user's KVM that it runs under, if any.
    """

    name: str
    file: str = ""
    class_name: str = ""
    sha256: str = ""
    kvm: str = ""
    kvm_sha256: str = ""

    @property
    def argument(self) -> str:
        """As on the command line."""
        return f"{self.file}:{self.class_name}" if self.file else self.base

    @property
    def options(self) -> str:
        """What `tdxfuzz replay` needs beside a reproducer."""
        design = f" --design {quote(self.argument)}" if self.file else ""
        return f"{design} --kvm {quote(self.kvm)}" if self.kvm else design

    @property
    def base(self) -> str:
        """The name of the design, without that of a KVM."""
        return self.name.partition("+")[0]

    @property
    def in_c(self) -> bool:
        """Whether its file is in C."""
        return self.file.endswith(".c")

    @property
    def design_file(self) -> DesignFile | None:
        """What reproducers say of it."""
        if not self.file:
            return None
        return DesignFile(Path(self.file).name, self.class_name, self.sha256)


@frozen
class NamedScenario:
    """A scenario: its name, how many CPUs it has, and what its file says if it is not built in."""

    name: str
    cpus: int
    text: str = ""
    is_raw: bool = False


@frozen
class Settings:
    """All that decides which cases are run, but for what they find on the way.

    ``variant_file`` is ``FILE.py:NAME`` of a user's variant, and every worker loads it. Programs
    are those of ``scenarios`` alone, if any is named; ``checks`` are the only ones that
    listen, if any is named; ``faults`` are as people write them.
    """

    subjects: tuple[Subject, ...] = tuple(Subject(name) for name in (*DESIGNS, HOSTILE))
    cpus: tuple[int, ...] = (2, 3)
    seed: int = 1
    batch: int = 1_000
    variant: str = DEFAULT.name
    variant_file: str = ""
    variant_sha256: str = ""
    scenarios: tuple[NamedScenario, ...] = ()
    faults: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    def subject(self, name: str) -> Subject:
        """The design of a name.

        Raises:
            HarnessError: it is not one of this campaign.
        """
        for subject in self.subjects:
            if subject.name == name:
                return subject
        raise HarnessError(f"design {name!r} does not belong to this campaign")

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Settings:
        """The settings that :meth:`text` wrote."""
        return cattrs.structure(json.loads(text), cls)

    def differences(self, other: Settings) -> Mapping[str, tuple[object, object]]:
        """The fields in which two campaigns differ: here, there."""
        pairs = {
            field.name: (getattr(self, field.name), getattr(other, field.name))
            for field in fields(Settings)
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class ChangedDesignError(HarnessError):
    """A user's design is not what it was when the campaign began."""


def load_module_variant(settings: Settings) -> None:
    """Make a campaign's variant known to this process, if it is a user's.

    Raises:
        ChangedDesignError: the file is another one by now.
        HarnessError: the file cannot be used.
        OSError: it cannot be read.
    """
    if not settings.variant_file:
        return
    try:
        file = load_variant(*split(settings.variant_file))
    except DesignFileError as error:
        raise HarnessError(str(error)) from None
    if file.sha256 != settings.variant_sha256:
        raise ChangedDesignError(
            f"{settings.variant_file} was changed after the campaign started; start another in a "
            "new folder"
        )


def load(subject: Subject) -> Design:
    """The class behind a subject, None for a built-in one.

    Raises:
        ChangedDesignError: the file is another one by now.
        HarnessError: the file cannot be used.
        OSError: it cannot be read.
    """
    design = None
    if subject.file:
        design = _loaded(class_in, subject.argument, subject.sha256)
    if not subject.kvm:
        return design
    kvm = _loaded(kvm_in, subject.kvm, subject.kvm_sha256)
    return under(design or DESIGNS[subject.base], kvm)


def _loaded(load_class: Callable[[Path, str], type[T]], argument: str, sha256: str) -> type[T]:
    path, class_name = split(argument)
    try:
        loaded = load_class(path, class_name)
        digest = digest_of(path)
    except DesignFileError as error:
        raise HarnessError(str(error)) from None
    if digest != sha256:
        raise ChangedDesignError(
            f"{path} was changed after the campaign started; start another in a new folder"
        )
    return loaded
