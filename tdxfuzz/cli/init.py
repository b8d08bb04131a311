"""``tdxfuzz init``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.write import write_whole

PLUGIN = "tdxfuzz.pytest_plugin"

CONFTEST = f'''"""Makes pytest know the Hypothesis profiles dev, ci and nightly."""

pytest_plugins = ["{PLUGIN}"]
'''

TEST = '''"""Tests of {module}.py: `pytest` is quick, `pytest --hypothesis-profile=ci` a gate."""

from hypothesis import given
from tdxfuzz.assertions import assert_clean
from tdxfuzz.case.case import Case
from tdxfuzz.stateful import concurrent_machine
from tdxfuzz.strategies import cases

from {module} import MyLayer


@given(cases(MyLayer))
def test_programs_are_clean_in_many_orders(case: Case) -> None:
    assert_clean(case)


TestOperationsComeAndGo = concurrent_machine(MyLayer).TestCase
'''


CONFTEST_NAME = "conftest.py"

ROOT_HAS = ("pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini", ".git")
"""Any of them is in the root of a project."""


@click.command("init", epilog="Example: tdxfuzz init mylayer.py")
@click.argument("path", metavar="FILE.py", type=click.Path(path_type=Path))
def init_command(path: Path) -> int:
    """Write a design, its test and a conftest.py, to start from.

    FILE.py becomes a design that holds: the class MyLayer, with one lock around every get and
    put. Beside it come test_FILE.py, with the two Hypothesis tests of a design, and conftest.py,
    which makes pytest know the profiles. If a folder above is the root of a project, conftest.py
    goes there, because pytest takes plugins from the outermost one only.

    Then `tdxfuzz hunt mylayer.py` tries random programs in many orders, `tdxfuzz verify mylayer.py`
    gives a verdict on small ones, and `pytest` in the same folder runs the tests.

    Then change MyLayer into your design.

    No file is overwritten. A conftest.py that is there already stays as it is.

    Exit codes: 0 the files are written; 2 a file is there already, or the name does not fit, and
    nothing is written.
    """
    module = path.stem
    if path.suffix != ".py" or not module.isidentifier():
        raise UsageProblem(
            f"{path}: not a name that Python can import; use letters, digits and _, then .py"
        )
    test, conftest = path.with_name(f"test_{module}.py"), _root_of(path) / CONFTEST_NAME
    for file in (path, test):
        if file.exists():
            raise UsageProblem(f"{file} is there already; it is not overwritten")
    output = Output(as_json=False)
    design = files("tdxfuzz.cli").joinpath("starter_design.py").read_text(encoding="utf-8")
    write_whole(design.replace("FILE", str(path)), path)
    write_whole(TEST.format(module=module), test)
    output.line(f"wrote {path}: the design")
    output.line(f"wrote {test}: its tests")
    if not conftest.exists():
        write_whole(CONFTEST, conftest)
        output.line(f"wrote {conftest}: the Hypothesis profiles")
    elif PLUGIN not in conftest.read_text(encoding="utf-8"):
        output.line(f'{conftest} stays as it is; it needs: pytest_plugins = ["{PLUGIN}"]')
    output.line(f"next: tdxfuzz hunt {path}")
    return 0


def _root_of(path: Path) -> Path:
    """The folder whose conftest.py may name plugins: the root of the nearest project, else the
    outermost folder with a conftest.py, else the file's own.
    """
    folders = path.resolve().parents
    marked = [folder for folder in folders if any((folder / name).exists() for name in ROOT_HAS)]
    tested = [folder for folder in folders if (folder / CONFTEST_NAME).exists()]
    # A home folder may be a repository, too, so the nearest project is meant.
    root = [*marked[:1], *tested[-1:], folders[0]][0]
    if root == folders[0]:
        return path.parent
    here = Path.cwd()
    return root.relative_to(here) if root.is_relative_to(here) else root
