"""Write reproducer files: small TOML text, easy to diff, with everything that a replay needs."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tdxfuzz.case.case import DEFAULT_STEPS, Case
from tdxfuzz.case.faults import text_of
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.case.visible import visible
from tdxfuzz.case.world import ALL_ENTRIES
from tdxfuzz.module.module import MODEL_VERSION
from tdxfuzz.module.variants import DEFAULT, variant_file_of
from tdxfuzz.repro.reproducer import FORMAT, SUFFIX, DesignFile, Origin, Reproducer
from tdxfuzz.sim import Fault, Schedule


def to_toml(reproducer: Reproducer) -> str:
    """The text of a reproducer file."""
    case = reproducer.case
    expect = reproducer.expect
    shows = [
        "[expect]",
        f"bucket = {_value(expect.bucket)}",
        f"message = {_value(expect.message)}",
        *([f"checks = {_value(case.checks)}"] if case.checks else []),
        "",
        *([] if reproducer.origin is None else _origin(reproducer.origin)),
    ]
    heading = [
        _comment(f"{expect.check}: {expect.message}"),
        "# Replay it with `tdxfuzz replay FILE`, read it with `tdxfuzz show FILE`.",
    ]
    files = reproducer.design_file, reproducer.kvm_file
    return _text(heading, case, files, shows)


def case_to_toml(
    case: Case, design_file: DesignFile | None, comment: str, kvm_file: DesignFile | None = None
) -> str:
    """The text of a case without a finding: an entry of a corpus."""
    return _text([_comment(comment)], case, (design_file, kvm_file), [])


def scenario_to_toml(scenario: Scenario) -> str:
    """The text of a scenario file: a case without a design, an order and a finding."""
    case, bound = scenario.case(""), scenario.preemptions
    schedule = [f"faults = {_value(map(_fault, case.faults))}"] if case.faults else []
    schedule += [f"steps = {case.steps}"] if case.steps != DEFAULT_STEPS else []
    lines = [
        _comment(f"{scenario.name}: a scenario"),
        "# Run it with `tdxfuzz verify DESIGN --scenario FILE`, read it with `tdxfuzz show FILE`.",
        f"format = {FORMAT}",
        f"model = {_value(MODEL_VERSION)}",
        "",
        "[scenario]",
        f"about = {_value(scenario.about)}",
        *([] if bound is None else [f"preemptions = {bound}"]),
        "",
        *_world(case),
        *_programs(case),
        *(["", "[schedule]", *schedule] if schedule else []),
    ]
    return "\n".join(lines) + "\n"


def _programs(case: Case) -> list[str]:
    lines = ["", "[setup]", f"operations = {_value(map(str, case.setup))}"]
    for program in case.programs:
        lines += ["", "[[cpu]]", f"operations = {_value(map(str, program))}"]
    return lines


def _fault(fault: Fault) -> object:
    return text_of(fault) if fault.only else [fault.kind, fault.index]


def _text(
    heading: list[str],
    case: Case,
    files: tuple[DesignFile | None, DesignFile | None],
    shows: list[str],
) -> str:
    design_file, kvm_file = files
    lines = [
        *heading,
        f"format = {FORMAT}",
        f"model = {_value(MODEL_VERSION)}",
        "",
        "[design]",
        f"name = {_value(case.design)}",
    ]
    if design_file is not None:
        lines += _file(design_file)
    if kvm_file is not None:
        lines += ["", "[kvm]", *_file(kvm_file)]
    lines += [
        "",
        *shows,
        *_world(case),
        *_programs(case),
        "",
        "[schedule]",
        "# Before step S is performed, go on with CPU C: [S, C].",
        f"switches = {_value([switch.step, switch.cpu] for switch in case.schedule)}",
        *_loop(case.schedule),
        f"faults = {_value(map(_fault, case.faults))}",
        f"steps = {case.steps}",
    ]
    return "\n".join(lines) + "\n"


def _file(user: DesignFile) -> list[str]:
    return [
        f"file = {_value(user.file)}",
        f"class_name = {_value(user.class_name)}",
        f"sha256 = {_value(user.sha256)}",
    ]


def _origin(origin: Origin) -> list[str]:
    return [
        "[origin]",
        f"operations = {origin.operations}",
        f"preemptions = {origin.preemptions}",
        f"engine = {_value(origin.engine)}",
        f"seed = {origin.seed}",
        "",
    ]


def _loop(schedule: Schedule) -> list[str]:
    if schedule.loop is None:
        return []
    return [
        "# The state before step A is the state before step B: [A, B].",
        f"loop = {_value(schedule.loop)}",
    ]


def _comment(text: str) -> str:
    return "# " + "".join(c if c.isprintable() else "?" for c in text).rstrip(": ")


def _world(case: Case) -> list[str]:
    world = case.world
    return [
        "[world]",
        f"cpus = {world.cpus}",
        f"tds = {world.tds}",
        f"slots = {world.slots}",
        f"guest_ranges = {_value(world.guest_ranges)}",
        f"kernel_ranges = {_value(world.kernel_ranges)}",
        f"dynamic_pamt = {_value(world.dynamic_pamt)}",
        *(
            [f"module_variant = {_value(world.module_variant)}"]
            if world.module_variant != DEFAULT.name
            else []
        ),
        *_variant_file(world.module_variant),
        *([f"areas = {world.areas}"] if world.areas else []),
        *([f"fresh_ranges = {_value(world.fresh_ranges)}"] if world.fresh_ranges else []),
        *([f"entries = {world.entries}"] if world.entries != ALL_ENTRIES else []),
    ]


def _variant_file(name: str) -> list[str]:
    file = variant_file_of(name)
    if file is None:
        return []
    return [f"variant_file = {_value(file.file)}", f"variant_sha256 = {_value(file.sha256)}"]


def _value(value: object) -> str:
    """A TOML value; strings and arrays of them look the same in JSON."""
    if isinstance(value, str | bool | int):
        return _escaped(json.dumps(value, ensure_ascii=False))
    assert isinstance(value, Iterable)
    return "[" + ", ".join(_value(item) for item in value) + "]"


def _escaped(text: str) -> str:
    """Without characters that cannot be seen; TOML has no way to write half of a pair (a byte of a
    file name that is not UTF-8).
    """
    text = "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return visible(text)


def file_name(reproducer: Reproducer, trace_hash: str) -> str:
    """``design-check-leaf-hash.tdx.toml``: the same for the same case."""
    leaf = reproducer.expect.bucket.split("/")[1]
    stem = "-".join([reproducer.case.design, reproducer.expect.check, leaf])
    stem = re.sub(r"[^a-z0-9]+", "-", stem.lower().replace("tdh.", "")).strip("-")
    return f"{stem}-{trace_hash[:8]}{SUFFIX}"


def write(reproducer: Reproducer, path: Path) -> None:
    """Write a reproducer file atomically.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    write_whole(to_toml(reproducer), path)


def write_whole(text: str, path: Path) -> None:
    """Write a file atomically: a reader sees all of it or nothing, even if the machine stops.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        os.fchmod(handle, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the new name outlast a power cut. Some file systems cannot; the file is there then."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
