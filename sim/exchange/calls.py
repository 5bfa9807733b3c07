"""Kernels of the exchange that others call by address (docs/decisions/0009): each is compiled once, whoever uses it.

A background flow, a member's request and the venue's calendar all make trades and speak on the feed. Compiled into each
of them, those kernels would be optimised anew at every level above them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from lobgym.sim.exchange.board import BOARD_DTYPE, ENTRIES
from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import Entry, caller

__all__ = [
    "board_entries",
    "call_agenda",
    "call_arrives",
    "call_cross",
    "call_say_best",
    "call_say_depth",
    "call_say_snapshot",
    "call_uncross",
    "entry",
]

F = TypeVar("F", bound=Callable[..., Any])
_REGISTERED: Final[dict[str, Entry]] = {}


def entry(name: str) -> Callable[[F], F]:
    """Compile a kernel as the entry `name`; it takes the board and integers, and returns an int64."""

    def register(function: F) -> F:
        kernel = njit_lean(function)
        _REGISTERED[name] = Entry(kernel, BOARD_DTYPE, ENTRIES[name])
        return kernel

    return register


def board_entries() -> dict[str, int]:
    """Address by field of the board; compiles what is not compiled yet."""
    return {f"fn_{name}": _REGISTERED[name].address for name in ENTRIES}


def _call(name: str) -> Any:
    return caller(BOARD_DTYPE, f"fn_{name}", ENTRIES[name], lambda x: _REGISTERED[name])


call_cross = _call("cross")
call_arrives = _call("arrives")
call_uncross = _call("uncross")
call_agenda = _call("agenda")
call_say_best = _call("say_best")
call_say_depth = _call("say_depth")
call_say_snapshot = _call("say_snapshot")
