"""Makes the Hypothesis profiles known: ``pytest --hypothesis-profile=ci``."""

pytest_plugins = ["tdxfuzz.pytest_plugin"]
