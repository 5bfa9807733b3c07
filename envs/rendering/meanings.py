"""What the codes of an action mean at a desk, in a few words for people who watch."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from lobgym.envs.rendering.scene import compact
from lobgym.sim.actions import EXECUTION, GRID, MAKER, NO_QUOTE, PAUSED, SKEW_ZERO, TARGET
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.instrument import Instrument
from lobgym.sim.quotes.execution import SLICE_ALL, SLICE_EIGHTHS

__all__ = ["AGGRESSIVENESS", "meaning"]

AGGRESSIVENESS: Final = (
    "far behind the best", "behind the best", "join the best", "improve", "the mid", "cross", "sweep",
)  # fmt: skip


def meaning(spec: DeskSpec, made: Instrument, name: str, code: int) -> str:
    """What code `code` of the action's dimension `name` asks for."""
    if spec.kind == TARGET:
        return f"{spec.targets[code]:+g} of the limit"
    if name == "size":
        return compact((code + 1) * spec.order_lots * float(made.lot_size) * float(made.contract_size))
    if spec.kind == GRID:
        return _grid(spec, made, name, code)
    if spec.kind == MAKER:
        return _maker(spec, made, name, code)
    if spec.kind == EXECUTION:
        return _slice(SLICE_EIGHTHS[code]) if name == "slice" else AGGRESSIVENESS[code]
    return str(code)


def _slice(eighths: int) -> str:
    if eighths <= 0:
        return {0: "nothing more", SLICE_ALL: "all of it"}.get(eighths, "withdraw")
    return "the even pace" if eighths == 8 else f"{Fraction(eighths, 8)} of the pace"


def _grid(spec: DeskSpec, made: Instrument, name: str, code: int) -> str:
    if name == "spacing":
        return _distance(made, spec.spacing_ticks[code])
    if name == "levels":
        return f"{code + 1} a side"
    if name == "skew":
        return "none" if code == SKEW_ZERO else f"{code - SKEW_ZERO:+d} quarters"
    return "paused" if code == PAUSED else "quoting"


def _maker(spec: DeskSpec, made: Instrument, name: str, code: int) -> str:
    if name == "skew":
        return "none" if code == 0 else f"{_distance(made, code * spec.lean_ticks)} at the limit"
    return "no quote" if code == NO_QUOTE else _distance(made, spec.offset_ticks[code])


def _distance(made: Instrument, ticks: int) -> str:
    return f"{made.ticks_to_price(ticks):,} {made.quote}"
