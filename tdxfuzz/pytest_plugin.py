"""Public: the pytest plugin, for ``pytest_plugins`` in the root ``conftest.py``."""

from tdxfuzz.testing.pytest_plugin import (
    pytest_addoption,
    pytest_collect_file,
    pytest_configure,
    register_profiles,
)

__all__ = [
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "register_profiles",
]
