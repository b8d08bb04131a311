"""Profiles: what ``--hypothesis-profile`` offers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CI_VARIABLES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE")
"""Some of those by which Hypothesis recognises a CI machine."""

PRINT_PROFILES = """
from hypothesis import settings
import tdxfuzz.pytest_plugin
for name in ("dev", "ci", "nightly"):
    p = settings.get_profile(name)
    print(name, p.max_examples, p.derandomize, p.database is not None, p.deadline)
"""


@pytest.mark.parametrize("machine", [{}, {"CI": "true"}], ids=["desk", "ci-machine"])
def test_profiles_are_the_same_on_every_machine(machine: dict[str, str]) -> None:
    # Hypothesis reads the environment when it is imported, hence a fresh interpreter.
    environment = {k: v for k, v in os.environ.items() if k not in CI_VARIABLES}
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_PROFILES],
        env=environment | machine,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.splitlines() == [
        "dev 50 False True None",
        "ci 200 True False None",
        "nightly 5000 False True None",
    ]
