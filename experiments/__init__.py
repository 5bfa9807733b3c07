"""What is done with all of it: command line, evaluation, leaderboards, reports, benchmarks. Nothing imports it."""

from __future__ import annotations

__all__: list[str] = []
