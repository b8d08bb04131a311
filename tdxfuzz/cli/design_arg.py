"""``DESIGN`` or ``FILE.py:Class`` on the command line."""

from __future__ import annotations

from attrs import frozen

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.cli.design_prints import keep_apart
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.host.design_file import DesignFileError, class_in, digest_of, names_file, split
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.reproducer import DesignFile
from tdxfuzz.run.session import Design


@frozen
class Chosen:
    """A design: the user's argument, its name in cases, and for a user's design its class and
    its file.
    """

    argument: str
    name: str
    design: Design = None
    file: DesignFile | None = None


def choose(argument: str, hostile: bool = False) -> Chosen:
    """The design that an argument names; "hostile" where a command needs no design.

    A file is executed, because a design is code and the user named it.

    Raises:
        UsageProblem: no such design, file or class, or the file raised.
    """
    if not names_file(argument):
        known = (*DESIGNS, HOSTILE) if hostile else tuple(DESIGNS)
        if argument == HOSTILE and not hostile:
            raise UsageProblem(
                f"{HOSTILE} is not a design; only hunt, verify, campaign, replay and decode take it"
            )
        if argument not in known:
            raise unknown("design", argument, known)
        return Chosen(argument, argument)
    path, class_name = split(argument)
    keep_apart()
    try:
        design = class_in(path, class_name)
    except DesignFileError as error:
        raise UsageProblem(str(error), error.details) from None
    return Chosen(
        f"{path}:{design.__name__}",
        design.__name__,
        design,
        DesignFile(path.name, design.__name__, digest_of(path)),
    )
