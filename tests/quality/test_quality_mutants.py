"""The recordings notice a wrong model: the list of deliberate errors fits the code.

``python -m benchmarks.mutants`` runs all of them; here are those that tests can afford.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.mutants import LIST, attempt, read_mutants

MUTANTS = read_mutants()
QUICK = (
    "a release EX clears HOST_PRIORITY",
    "REMOVE leaves the second bitmap bit set",
    "MNG.CREATE does not count the page",
    "SEPT.ADD releases the entry last",
)


def test_the_list_has_forty_errors_the_recordings_must_catch() -> None:
    assert len([mutant for mutant in MUTANTS if not mutant.unseen]) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


@pytest.mark.parametrize("name", QUICK)
def test_an_error_is_caught(name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert attempt(mutant).startswith("locks: case ")


def test_a_text_that_the_code_has_not_once_is_refused(tmp_path: Path) -> None:
    stale = tmp_path / "mutants.toml"
    stale.write_text(
        LIST.read_text().replace(
            "page_count=m.pamt.split.pages_at(LEVEL_2M))", "page_count=0x200)", 1
        )
    )
    with pytest.raises(ValueError, match=r"'DEMOTE counts 511 .* leaves/mem_size.py 0 times"):
        read_mutants(stale)
