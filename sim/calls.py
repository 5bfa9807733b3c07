"""Calls of kernels by address, and who stands behind each.

What is rare (an order that takes, a print that reaches a queue) is called and not inlined: the hot path stays short,
and nobody who uses it compiles the rest. A module that implements an entry registers it; `lobgym.sim.lanes` writes the
addresses into each world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import Entry, caller
from lobgym.sim.world import ENTRIES, WORLD_DTYPE

__all__ = [
    "call_advance",
    "call_advance_account",
    "call_answer",
    "call_cancel",
    "call_mark_rivals",
    "call_modify",
    "call_modify_arrives",
    "call_on_best",
    "call_on_print",
    "call_others_spare",
    "call_scan_rows",
    "call_settle",
    "call_submit",
    "call_submit_arrives",
    "call_sync_front",
    "call_wait_answer",
    "entry",
    "entry_addresses",
]

F = TypeVar("F", bound=Callable[..., Any])
_REGISTERED: Final[dict[str, Entry]] = {}
_COMPAT: Final[dict[str, Entry]] = {}  # those that the compatibility profiles have instead


def entry(name: str, compat: bool = False) -> Callable[[F], F]:
    """Compile a kernel as the entry `name`; it takes the world and integers, and returns one.

    With `compat` it is the entry of the compatibility profiles, which use the common one where they have none.
    """

    def register(function: F) -> F:
        kernel = njit_lean(function)
        (_COMPAT if compat else _REGISTERED)[name] = Entry(kernel, WORLD_DTYPE, ENTRIES[name])
        return kernel

    return register


def _entry_of(name: str, compat: bool) -> Entry:
    return _COMPAT[name] if compat and name in _COMPAT else _REGISTERED[name]


def entry_addresses(compat: bool, names: Iterable[str] = tuple(ENTRIES)) -> dict[str, int]:
    """Address by entry, of those named; compiles what is not compiled yet."""
    return {name: _entry_of(name, compat).address for name in names}


def _call(name: str) -> Any:
    return caller(WORLD_DTYPE, f"fn_{name}", ENTRIES[name], lambda w: _entry_of(name, bool(w["profile"])))


call_advance = _call("advance")
call_advance_account = _call("advance_account")
call_submit = _call("submit")
call_cancel = _call("cancel")
call_modify = _call("modify")
call_wait_answer = _call("wait_answer")
call_on_print = _call("on_print")
call_on_best = _call("on_best")
call_scan_rows = _call("scan_rows")
call_submit_arrives = _call("submit_arrives")
call_modify_arrives = _call("modify_arrives")
call_settle = _call("settle")
call_others_spare = _call("others_spare")
call_sync_front = _call("sync_front")
call_mark_rivals = _call("mark_rivals")
call_answer = _call("answer")
