"""How people write faults."""

from __future__ import annotations

import pytest

from tdxfuzz.case.case import Case, CaseError
from tdxfuzz.case.faults import fault_of, pattern_of, text_of
from tdxfuzz.sim import Fault

BLOCK = "TDH.MEM.RANGE.BLOCK"


def test_a_fault_names_a_leaf_and_counts_its_calls_from_one() -> None:
    fault = fault_of("refuse:MEM.RANGE.BLOCK@2")
    assert fault == fault_of(f"refuse:{BLOCK}@2") == Fault("refuse", 1, BLOCK)
    assert text_of(fault) == f"refuse:{BLOCK}@2"
    assert fault_of(text_of(Fault("alloc", 0))) == Fault("alloc", 0)


def test_without_a_number_any_call_may_be_meant() -> None:
    assert pattern_of("entropy:MNG.CREATE").fault is None
    with pytest.raises(ValueError, match=r"add @N, as in refuse@1"):
        fault_of("refuse")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("refus@1", "did you mean refuse"),
        ("refuse:MEM.RANGE.BLOK@1", "did you mean TDH.MEM.RANGE.BLOCK"),
        ("refuse:@1", "unknown leaf"),
        ("alloc:MEM.RANGE.BLOCK@1", "leave 'TDH.MEM.RANGE.BLOCK' out"),
        ("busy:MEM.RANGE.BLOCK@1", "use refuse"),
        ("refuse@0", "from 1"),
        ("refuse@two", "from 1"),
        ("refuse@²", "from 1"),
        ("refuse@", "from 1"),
        ("refuse@70000", "65535"),
        ("", "unknown kind"),
    ],
)
def test_what_is_wrong_with_a_fault_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        fault_of(text)


def test_a_case_takes_only_leaves_that_there_are() -> None:
    with pytest.raises(CaseError, match=r"faults\[0\]: unknown leaf"):
        Case("merged", faults=(Fault("refuse", 0, "TDH.NOTHING"),))
