"""The market and the desk: tapes, compiled books, sessions, accounts, observations, actions, quoter, risk check.

The names below are what most users need. Each is imported when it is first asked for, so that importing one module of
this package (`lobgym.sim.errors`, say) loads neither numba nor pyarrow. The kernels, for strategies that are compiled
themselves, are in `lobgym.sim.kernel` and `lobgym.sim.book`; constants (BUY, GTX, ...) in `lobgym.sim.records`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lobgym.sim.actions import ActionSpec
    from lobgym.sim.causality import check_causal
    from lobgym.sim.desk import Desk
    from lobgym.sim.desk_spec import DeskSpec
    from lobgym.sim.instrument import Instrument, find_instrument, load_instrument
    from lobgym.sim.market import Market
    from lobgym.sim.multi import MultiSession
    from lobgym.sim.observation import ObservationLayout, register_column
    from lobgym.sim.params import SimParams
    from lobgym.sim.risk import RiskLimits
    from lobgym.sim.session import Session
    from lobgym.sim.tape import Tape, inspect, open_tape

__all__ = [
    "ActionSpec",
    "Desk",
    "DeskSpec",
    "Instrument",
    "Market",
    "MultiSession",
    "ObservationLayout",
    "RiskLimits",
    "Session",
    "SimParams",
    "Tape",
    "check_causal",
    "find_instrument",
    "inspect",
    "load_instrument",
    "open_tape",
    "register_column",
]

_HOMES: Final = {
    "ActionSpec": "actions",
    "Desk": "desk",
    "DeskSpec": "desk_spec",
    "Instrument": "instrument",
    "Market": "market",
    "MultiSession": "multi",
    "ObservationLayout": "observation",
    "RiskLimits": "risk",
    "Session": "session",
    "SimParams": "params",
    "Tape": "tape",
    "check_causal": "causality",
    "find_instrument": "instrument",
    "inspect": "tape",
    "load_instrument": "instrument",
    "open_tape": "tape",
    "register_column": "observation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lobgym.sim.{_HOMES[name]}"), name)
