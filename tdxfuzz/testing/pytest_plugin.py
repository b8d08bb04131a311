"""Hypothesis profiles for pytest, and reproducer files as tests.

In the root ``conftest.py``::

    pytest_plugins = ["tdxfuzz.pytest_plugin"]

``dev``: quick, with a new seed each time; used where nobody has chosen a profile. ``ci``: a gate,
with the same examples each time. ``nightly``: many examples, kept in a database. Choose with
``--hypothesis-profile=ci``.

``--tdx-regressions FOLDER`` runs each reproducer file in a folder as a test, marked
``tdxfuzz``. The test passes when no bug shows any more. ``--tdx-design FILE.py:Class`` names
the design of reproducers of a user's design, ``--tdx-kvm FILE.py:Class`` the KVM of those under a
user's KVM. Without it their tests fail and say so.

A run that hangs and that no exception can end, because it is in C code, ends the process of pytest
with one line on standard error.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tdxfuzz.sim.watchdog import set_last_resort
from tdxfuzz.testing.hang_guard import HangGuard
from tdxfuzz.testing.profiles import load_default, register_profiles

MARKER = "tdxfuzz"


register_profiles()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the module's docstring."""
    group = parser.getgroup("tdxfuzz")
    group.addoption(
        "--tdx-regressions",
        metavar="FOLDER",
        action="append",
        default=[],
        help="run the reproducer files (*.tdx.toml) of a folder as tests; repeat for several",
    )
    group.addoption(
        "--tdx-design",
        metavar="FILE.py:Class",
        help="the design class for reproducers of your own design",
    )
    group.addoption(
        "--tdx-kvm",
        metavar="FILE.py:Class",
        help="the KVM class for reproducers of runs under your own KVM",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load a profile if nobody has chosen one; collect the folders as well."""
    load_default()
    _guard_against_hangs(config)
    config.addinivalue_line("markers", f"{MARKER}: a reproducer file, run again")
    for folder in config.getoption("--tdx-regressions"):
        if not Path(folder).is_dir():
            raise pytest.UsageError(f"--tdx-regressions {folder}: no such folder")
        if next(Path(folder).rglob("*.tdx.toml"), None) is None:
            raise pytest.UsageError(
                f"--tdx-regressions {folder}: no reproducers (*.tdx.toml) in this folder; "
                "`tdxfuzz hunt` writes them"
            )
        if folder not in config.args:
            config.args.append(folder)


def _guard_against_hangs(config: pytest.Config) -> None:
    """A run that no exception can end ends the process. pytest captures nothing yet."""
    guard = HangGuard(os.dup(2))
    set_last_resort(guard)
    config.add_cleanup(guard.close)
    config.add_cleanup(lambda: set_last_resort(None))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The trace is the last thing printed, and printed once. Leave out Hypothesis's section, which
    says how to draw the same case again. The summary of pytest gets the first line only, because
    on a CI machine pytest does not cut it off.
    """
    report = yield
    if call.excinfo is None or isinstance(call.excinfo.value, Exception):
        return report
    from tdxfuzz.testing.assertions import BrokenAtOnce

    if isinstance(call.excinfo.value, BrokenAtOnce):
        report.sections = [section for section in report.sections if section[0] != "Hypothesis"]
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None:
            crash.message = crash.message.partition("\n")[0]
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect reproducer files only in the folders of ``--tdx-regressions``."""
    folders = parent.config.getoption("--tdx-regressions")
    if not any(Path(folder).resolve() in file_path.resolve().parents for folder in folders):
        return None
    from tdxfuzz.repro.reproducer import SUFFIX

    if not file_path.name.endswith(SUFFIX):
        return None
    collected: pytest.Collector = ReproducerFile.from_parent(parent, path=file_path)
    return collected


class ReproducerFile(pytest.File):
    """One reproducer file: one test."""

    def collect(self) -> Iterator[pytest.Item]:
        from tdxfuzz.repro.reproducer import SUFFIX

        item: ReproducerItem = ReproducerItem.from_parent(
            self, name=self.path.name.removesuffix(SUFFIX)
        )
        item.add_marker(MARKER)
        yield item


class StillShows(Exception):
    """The bug of a reproducer still shows, or the file cannot be replayed. The text is for
    people.
    """


class ReproducerItem(pytest.Item):
    """Passes when no check fires: the bug is fixed, in this order of steps."""

    def runtest(self) -> None:
        # What a run needs is imported where it runs: the profiles cost nothing else.
        from tdxfuzz.host.design_file import DesignFileError
        from tdxfuzz.repro.errors import ReproducerError
        from tdxfuzz.sim import HarnessError

        try:
            problem = self._problem()
        except (ReproducerError, DesignFileError, HarnessError) as error:
            problem = str(error)
        if problem:
            raise StillShows(problem)

    def _problem(self) -> str:
        from tdxfuzz.host.design_file import class_in, kvm_in, split
        from tdxfuzz.host.designs import DESIGNS
        from tdxfuzz.host.kvm.under import under
        from tdxfuzz.repro.columns import columns
        from tdxfuzz.repro.read import read
        from tdxfuzz.repro.replay import ReplayResult, replay

        reproducer = read(self.path)
        design, options = None, ["", ""]
        if reproducer.design_file is not None:
            argument = self.config.getoption("--tdx-design")
            user = reproducer.design_file
            if argument is None:
                return (
                    f"{self.path}: design.name: {reproducer.case.design} is a user's design; add "
                    f"--tdx-design {user.file}:{user.class_name}"
                )
            design = class_in(*split(argument))
            if design.__name__ != reproducer.case.design.partition("+")[0]:
                return (
                    f"{self.path}: design.name: {reproducer.case.design} is another design than "
                    f"{argument}; `tdxfuzz replay {self.path} --design {argument}` runs its order "
                    "under that"
                )
            options = [f" --design {argument}", f" --tdx-design {argument}"]
        if reproducer.kvm_file is not None:
            argument = self.config.getoption("--tdx-kvm")
            user = reproducer.kvm_file
            if argument is None:
                return (
                    f"{self.path}: kvm: this is a run under a user's KVM; add "
                    f"--tdx-kvm {user.file}:{user.class_name}"
                )
            base = design or DESIGNS.get(reproducer.case.design.partition("+")[0])
            if base is None:
                return (
                    f"{self.path}: design.name: {reproducer.case.design} is not a built-in design"
                )
            design = under(base, kvm_in(*split(argument)))
            options[0] += f" --kvm {argument}"
            options[1] += f" --tdx-kvm {argument}"
        replayed = replay(reproducer, design)
        if replayed.result is ReplayResult.FIXED:
            return ""
        regressions = f"pytest -p tdxfuzz.pytest_plugin --tdx-regressions {self.path.parent}"
        cut_off = replayed.run.cut_off
        shown = columns(replayed.run) if cut_off is None else f"{cut_off.message}\n"
        return (
            f"{replayed.result.value}: this reproducer shows {reproducer.expect.bucket}\n\n"
            f"{shown}\n"
            f"Reproduce with: tdxfuzz replay {self.path}{options[0]}\n"
            f"            or: {regressions} -k {self.name}{options[1]}"
        )

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        """For our own failures only the text, without a traceback."""
        if isinstance(excinfo.value, StillShows):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it is from, for reports."""
        return self.path, None, self.name
