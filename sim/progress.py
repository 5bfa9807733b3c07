"""Who is told how far the making of a tape is. Nobody, unless a program asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "Report", "report_progress", "reporter"]

Progress: TypeAlias = Callable[[int, int], None]  # done, total
Report: TypeAlias = Callable[[str, int, int], None]  # name of the tape, done, total

_reports: list[Report] = []


def report_progress(report: Report | None) -> None:
    """From now on `report` is told how far the making of a tape is; None: nobody is."""
    _reports[:] = [] if report is None else [report]


def reporter(name: str) -> Progress | None:
    """What a generator tells how far it is with the tape `name`."""
    if not _reports:
        return None
    report = _reports[0]
    return lambda done, total: report(name, done, total)
