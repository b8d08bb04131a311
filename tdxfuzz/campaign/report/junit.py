"""JUnit XML: a suite for each design, a test for each check."""

from __future__ import annotations

from xml.etree import ElementTree

from tdxfuzz.campaign.report.data import Data, ShownFinding
from tdxfuzz.campaign.summary import ERROR, FAIL, PASS, DesignSummary
from tdxfuzz.case.visible import visible
from tdxfuzz.run.cut_off import CUT_OFF


def junit(data: Data) -> str:
    """The text of the file."""
    root = ElementTree.Element("testsuites", name="tdxfuzz")
    for design in data.summary.designs:
        shown = [one for one in data.shown if one.finding.design == design.name]
        root.append(_suite(design, shown))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", f"{data.summary.seconds:.3f}")
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _suite(design: DesignSummary, shown: list[ShownFinding]) -> ElementTree.Element:
    cells = {check: design.cell(check) for check in design.checks}
    suite = ElementTree.Element("testsuite", name=_clean(design.name), tests=str(len(cells)))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    for check, cell in cells.items():
        test = ElementTree.SubElement(
            suite, "testcase", classname=_clean(f"tdxfuzz.{design.name}"), name=check
        )
        if cell == FAIL:
            counts["failures"] += 1
            of_check = [one for one in shown if one.finding.check == check]
            failure = ElementTree.SubElement(
                test, "failure", type=check, message=_clean(of_check[0].finding.message)
            )
            failure.text = _clean("\n".join(map(_text, of_check)))
        elif design.verdict == ERROR:
            counts["errors"] += 1
            ElementTree.SubElement(test, "error", message=_clean(design.why))
        elif cell != PASS:
            counts["skipped"] += 1
            ElementTree.SubElement(test, "skipped", message="vacuous: nothing to check")
    for one in shown:
        if one.finding.check == CUT_OFF:
            counts["errors"] += 1
            test = ElementTree.SubElement(
                suite, "testcase", classname=_clean(f"tdxfuzz.{design.name}"), name=CUT_OFF
            )
            ElementTree.SubElement(test, "error", message=_clean(one.finding.message))
    suite.set("tests", str(len(suite)))
    for key, count in counts.items():
        suite.set(key, str(count))
    return suite


def _text(shown: ShownFinding) -> str:
    return f"{shown.finding.bucket}\n\n{shown.trace}\nReproduce with: {shown.command}\n"


def _clean(text: str) -> str:
    """Without what XML cannot hold, or nobody can see."""
    return visible(text, "\n")
