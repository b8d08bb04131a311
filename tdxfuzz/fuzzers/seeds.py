"""``tdxfuzz-seeds FOLDER``: seed corpora and dictionaries for the atheris targets.

From the standard scenarios, the set-ups of hostile runs, and reproducers: one folder for each
target, with a file for each input, and ``TARGET.dict`` where the target takes text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path

from tdxfuzz.abi import CODES, LEAVES, OPERANDS
from tdxfuzz.abi.registers import NAMES
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS
from tdxfuzz.case.operation import OPERATIONS
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.generate.codec import encode
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse_case, read_text
from tdxfuzz.repro.write import case_to_toml
from tdxfuzz.verify.hostile_pairs import overlaps

WORDS = ("TDR", "TDCS", "A0", "B128", "C1")
OF_EACH_SETUP = 4
"""Pairs of hostile calls; libFuzzer finds the others."""


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog="tdxfuzz-seeds", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--corpus",
        type=Path,
        nargs="*",
        default=[],
        help="folders with reproducers (*.tdx.toml), such as corpus/ of a clone or of a campaign",
    )
    arguments = parser.parse_args()
    folder = arguments.folder
    try:
        counts = write_seeds(folder, *arguments.corpus)
    except (ReproducerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for target, count in counts.items():
        print(f"{folder / target}: {count} inputs")


def write_seeds(folder: Path, *corpora: Path) -> dict[str, int]:
    """Write corpora and dictionaries; how many inputs each target got.

    Args:
        folder: where.
        corpora: folders, searched for reproducers with all that is below them.

    Raises:
        ReproducerError: a file of a corpus cannot be read.
        OSError: a corpus is not there, or nothing can be written.
    """
    inputs: dict[str, list[bytes]] = {
        "host_ops": [],
        "hostile": [],
        "status_words": [_word(code << 32) for code in CODES.values()],
        "reproducers": [],
    }
    inputs["status_words"] += [_word(operand) for operand in OPERANDS.values()]
    texts = []
    for case, text in (*_built_in(), *_of(corpora)):
        texts.append(text)
        inputs["reproducers"].append(text.encode())
        with suppress(ValueError):  # a set-up by hand has operations that no bytes stand for
            inputs["hostile" if case.design == HOSTILE else "host_ops"].append(encode(case))
        for op in (*case.setup, *(op for program in case.programs for op in program)):
            inputs["status_words"].append(str(op).encode())
    for target, each in inputs.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for data in each:
            (folder / target / sha256(data).hexdigest()[:16]).write_bytes(data)
    leaves = [leaf.name for leaf in LEAVES]
    words = [*OPERATIONS, *leaves, *(f"{name}=" for name in NAMES), *WORDS]
    _write_dictionary(folder / "status_words.dict", words)
    _write_dictionary(folder / "reproducers.dict", [*words, *_file_words(texts)])
    return {target: len(set(each)) for target, each in inputs.items()}


def _built_in() -> Iterator[tuple[Case, str]]:
    """Cases that need no file, with their text."""
    cases = [scenario.case("merged") for scenario in SCENARIOS.values()]
    for setup in SETUPS:
        cases += islice(overlaps(setup, 2), OF_EACH_SETUP)
    for case in cases:
        yield case, case_to_toml(case, None, "")


def _of(corpora: tuple[Path, ...]) -> Iterator[tuple[Case, str]]:
    """Cases of files, with their text."""
    for corpus in corpora:
        if not corpus.is_dir():
            raise NotADirectoryError(f"{corpus}: no such folder")
        for path in sorted(corpus.rglob("*.tdx.toml")):
            text = read_text(path)
            yield parse_case(text, path), text


def _word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _file_words(texts: list[str]) -> list[str]:
    """Keys, tables and names that occur in reproducer files."""
    words = {"[[cpu]]", "operations = [", "true", "false", *DESIGNS, *ALL_CHECKS}
    for text in texts:
        for line in text.splitlines():
            key, equals, _ = line.partition(" = ")
            if equals and not key.startswith("#"):
                words.add(f"{key} = ")
            elif line.startswith("["):
                words.add(line)
    return sorted(words)


def _write_dictionary(path: Path, words: list[str]) -> None:
    """In libFuzzer's form: a quoted string on each line."""
    quoted = [word.replace("\\", "\\\\").replace('"', '\\"') for word in words]
    path.write_text("".join(f'"{word}"\n' for word in quoted), encoding="utf-8")
