"""Tests that take minutes: `make suites` runs them."""

import os

import pytest

WHOLE = os.environ.get("BRAINCTL_WHOLE_SUITES") == "true"
"""Whether everything is run; else the parts that every run has."""
minutes = pytest.mark.skipif(not WHOLE, reason="takes a minute: make suites")
