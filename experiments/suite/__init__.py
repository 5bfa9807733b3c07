"""The leaderboard over many markets: every policy on every market, cell by cell, resumable, on many workers."""

from __future__ import annotations

from lobgym.experiments.suite.board import SuiteBoard
from lobgym.experiments.suite.plan import DEFAULT_TAPES, SuitePlan
from lobgym.experiments.suite.run import run_suite
from lobgym.experiments.suite.submission import Submission, submit_bundle

__all__ = ["DEFAULT_TAPES", "Submission", "SuiteBoard", "SuitePlan", "run_suite", "submit_bundle"]
