"""``python -m tools.seeds FOLDER``: seed corpora and dictionaries for the atheris targets.

From the reproducers of ``corpus/``: one folder for each target, with a file for each input, and
``TARGET.dict`` where the target takes text.
"""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path

from tdxfuzz.abi import CODES, LEAVES, OPERANDS
from tdxfuzz.abi.registers import NAMES
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import OPERATIONS
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.generate.codec import encode
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.read import parse_case, read, read_text

CORPUS = Path(__file__).parent.parent / "corpus"
WORDS = ("TDR", "TDCS", "A0", "B128", "C1")


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog="python -m tools.seeds", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--campaign", type=Path, help="a campaign's folder, whose corpus gives seeds as well"
    )
    arguments = parser.parse_args()
    folder = arguments.folder
    counts = write_seeds(folder, arguments.campaign)
    for target, count in counts.items():
        print(f"{folder / target}: {count} inputs")


def write_seeds(folder: Path, campaign: Path | None = None) -> dict[str, int]:
    """Write corpora and dictionaries; how many inputs each target got.

    Raises:
        ReproducerError: a file of a corpus cannot be read.
    """
    inputs: dict[str, list[bytes]] = {
        "host_ops": [],
        "hostile": [],
        "status_words": [_word(code << 32) for code in CODES.values()],
        "reproducers": [],
    }
    inputs["status_words"] += [_word(operand) for operand in OPERANDS.values()]
    for path in sorted(CORPUS.glob("*/*.tdx.toml")):
        case = read(path).case
        inputs["reproducers"].append(path.read_bytes())
        inputs["hostile" if case.design == HOSTILE else "host_ops"].append(encode(case))
        for op in (*case.setup, *(op for program in case.programs for op in program)):
            inputs["status_words"].append(str(op).encode())
    for path in () if campaign is None else sorted((campaign / "corpus").glob("*.tdx.toml")):
        case = parse_case(read_text(path), path)
        inputs["hostile" if case.design == HOSTILE else "host_ops"].append(encode(case))
    for target, each in inputs.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for data in each:
            (folder / target / sha256(data).hexdigest()[:16]).write_bytes(data)
    leaves = [leaf.name for leaf in LEAVES]
    text = [*OPERATIONS, *leaves, *(f"{name}=" for name in NAMES), *WORDS]
    _write_dictionary(folder / "status_words.dict", text)
    _write_dictionary(folder / "reproducers.dict", [*text, *_file_words()])
    return {target: len(set(each)) for target, each in inputs.items()}


def _word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _file_words() -> list[str]:
    """Keys, tables and names that occur in reproducer files."""
    words = {"[[cpu]]", "operations = [", "true", "false", *DESIGNS, *ALL_CHECKS}
    for path in CORPUS.glob("*/*.tdx.toml"):
        for line in path.read_text(encoding="utf-8").splitlines():
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


if __name__ == "__main__":
    main()
