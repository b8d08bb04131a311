"""What must hold for any bytes: words of the ABI, and reproducer files."""

from __future__ import annotations

from tdxfuzz.abi import CODES, status
from tdxfuzz.case.operation import Op
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse, parse_case
from tdxfuzz.repro.write import case_to_toml, file_name, to_toml

WORD = 8


def check_words(data: bytes) -> None:
    """The bytes as status words, and as the text of an operation.

    Raises:
        AssertionError: a word's parts contradict each other, or an operation does not read
            back as it is written.
    """
    for at in range(0, len(data) - WORD + 1, WORD):
        word = status(int.from_bytes(data[at : at + WORD], "little"))
        assert word.ok != word.is_error
        assert not (word.is_recoverable and word.ok)
        assert word.code << 32 | word.detail == word
        assert str(word).startswith(word.name)
        if word.name in CODES:
            assert CODES[word.name] == word.code
    try:
        op = Op.parse(data.decode("utf-8"))
    except ValueError:
        return
    assert Op.parse(str(op)) == op


def check_reproducer(data: bytes) -> None:
    """The bytes as a reproducer file: refused with one clear error, or read back as written.

    Raises:
        AssertionError: it is not, or its file's name would leave its folder.
    """
    try:
        reproducer = parse(data.decode("utf-8"))
    except (UnicodeDecodeError, ReproducerError):
        return
    assert parse(to_toml(reproducer)) == reproducer
    # A corpus takes reproducers as well, and does not ask what they show.
    case = parse_case(data.decode("utf-8"))
    assert parse_case(case_to_toml(case, reproducer.design_file, "")) == case
    name = file_name(reproducer, "0" * 64)
    assert "/" not in name
    assert not name.startswith(".")
