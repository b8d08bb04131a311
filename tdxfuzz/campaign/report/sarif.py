"""SARIF 2.1.0, for code scanning: a rule for each check, a result for each bucket. Once there was a
report before, each result says how it stands to that one: new, unchanged, or absent from now on.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tdxfuzz import __version__
from tdxfuzz.campaign.report.data import Data, ShownFinding
from tdxfuzz.case.visible import visible
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.run.cut_off import CUT_OFF

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(data: Data) -> str:
    """The text of the file."""
    rules = [*ALL_CHECKS, CUT_OFF]
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "tdxfuzz",
                        "version": __version__,
                        "rules": [_rule(check) for check in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    *(_result(shown, rules, data) for shown in data.shown),
                    *_absent(rules, data),
                ],
            }
        ],
    }
    return json.dumps(log, indent=2) + "\n"


def _rule(check: str) -> dict[str, object]:
    if check == CUT_OFF:
        return {
            "id": check,
            "shortDescription": {"text": "A run does not end, so that nothing is known of it."},
            "defaultConfiguration": {"level": "warning"},
        }
    kind = ALL_CHECKS[check]
    about = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())
    return {
        "id": check,
        "shortDescription": {"text": about.replace("``", "`")},
        "help": {"text": f"Source: {kind.source}. The check can fire only if {kind.witness}."},
        "defaultConfiguration": {"level": "error"},
    }


def _result(shown: ShownFinding, rules: list[str], data: Data) -> dict[str, object]:
    found = shown.finding
    subject = data.settings.subject(found.design)
    file, line = _source(found.design, subject.file, subject.class_name)
    result: dict[str, object] = {
        "ruleId": found.check,
        "ruleIndex": rules.index(found.check),
        "level": "warning" if found.check == CUT_OFF else "error",
        "message": {"text": _plain(f"{found.design}: {found.message}\n\n{shown.command}")},
        "partialFingerprints": _fingerprints(found.design, found.bucket),
        "occurrenceCount": max(found.sightings, 1),
        "properties": {
            "bucket": visible(found.bucket),
            "reproducer": shown.path,
            "trace": visible(shown.trace, "\n"),
        },
    }
    if data.baseline is not None:
        result["baselineState"] = "new" if shown.is_new else "unchanged"
    if file:
        where = {"artifactLocation": {"uri": file}, "region": {"startLine": line}}
        result["locations"] = [{"physicalLocation": where}]
    return result


def _absent(rules: list[str], data: Data) -> Iterator[dict[str, object]]:
    """What the report before told, and this one does not: a result of kind ``pass``."""
    shown = {(one.finding.design, one.finding.bucket) for one in data.shown}
    for design, bucket in () if data.baseline is None else data.baseline.findings:
        check = bucket.partition("/")[0]
        if (design, bucket) not in shown and check in rules:
            yield {
                "ruleId": check,
                "ruleIndex": rules.index(check),
                "level": "none",
                "kind": "pass",
                "message": {"text": _plain(f"{design}: {bucket} is not found any more")},
                "partialFingerprints": _fingerprints(design, bucket),
                "properties": {"bucket": visible(bucket)},
                "baselineState": "absent",
            }


def _fingerprints(design: str, bucket: str) -> dict[str, str]:
    told = f"{design}\n{bucket}".encode(errors="backslashreplace")
    return {"tdxfuzzBucket/v1": hashlib.sha256(told).hexdigest()}


def _plain(text: str) -> str:
    """Text in which SARIF sees no links."""
    return visible(text.replace("](", "]\\("), "\n")


def _source(design: str, file: str, class_name: str) -> tuple[str, int]:
    """Where the code is that broke: the design's class, in a path relative to where one is."""
    if file:
        path = Path(file)
        line = 1
        try:
            rows = path.read_text("utf-8", "replace").splitlines()
        except OSError:
            rows = []
        for number, row in enumerate(rows, 1):
            if row.startswith((f"class {class_name}(", f"class {class_name}:")):
                line = number
        here = Path.cwd()
        inside = path.is_relative_to(here)
        return quote(path.relative_to(here).as_posix()) if inside else path.as_uri(), line
    if design not in DESIGNS:
        return "", 0
    kind = DESIGNS[design]
    return f"{kind.__module__.replace('.', '/')}.py", inspect.getsourcelines(kind)[1]
