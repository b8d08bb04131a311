"""Tests of the module model."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.lab", f"{__name__}.rows")
