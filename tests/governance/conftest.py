"""Fixtures of the gates' tests."""

from __future__ import annotations

from tests.runtime.fixtures import make_bundle, market, specs, tape, tape_file

__all__ = ["make_bundle", "market", "specs", "tape", "tape_file"]
