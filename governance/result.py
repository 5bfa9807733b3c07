"""What a gate says: checks with what was expected and what was found, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["Check", "GateResult", "at_least", "at_most", "equal"]


class Check(msgspec.Struct, frozen=True):
    """One question with its answer. `expected` and `actual` are texts without floats: they repeat to the digit."""

    name: str
    passed: bool
    expected: str
    actual: str


class GateResult(msgspec.Struct, frozen=True):
    """The outcome of one gate: passed if every check did, and there was at least one."""

    name: str
    title: str
    passed: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, title: str, checks: Sequence[Check], notes: Sequence[str] = ()) -> GateResult:
        """The result of these checks."""
        passed = bool(checks) and all(check.passed for check in checks)
        return cls(name, title, passed, tuple(checks), tuple(notes))

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, Any]:
        """The result as plain data."""
        data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return data


def equal(name: str, expected: object, actual: object) -> Check:
    """A check that two values are the same."""
    return Check(name, expected == actual, str(expected), str(actual))


def at_most(name: str, limit: int, actual: int, unit: str = "") -> Check:
    """A check that an integer does not exceed a limit."""
    suffix = f" {unit}" if unit else ""
    return Check(name, actual <= limit, f"at most {limit}{suffix}", f"{actual}{suffix}")


def at_least(name: str, limit: int, actual: int, unit: str = "") -> Check:
    """A check that an integer reaches a limit."""
    suffix = f" {unit}" if unit else ""
    return Check(name, actual >= limit, f"at least {limit}{suffix}", f"{actual}{suffix}")
