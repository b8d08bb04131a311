"""Public: the pytest plugin, for ``pytest_plugins`` in the root ``conftest.py``."""

from tdxfuzz.testing.profiles import register_profiles
from tdxfuzz.testing.pytest_plugin import (
    pytest_addoption,
    pytest_collect_file,
    pytest_configure,
    pytest_runtest_makereport,
)

__all__ = [
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_runtest_makereport",
    "register_profiles",
]
