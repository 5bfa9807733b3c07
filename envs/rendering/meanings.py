"""What the codes of an action mean at a desk, in a few words for people who watch."""

from __future__ import annotations

from typing import Final

from lobgym.envs.rendering.scene import compact
from lobgym.sim.actions import EXECUTION, GRID, MAKER, NO_QUOTE, PAUSED, SKEW_ZERO, TARGET
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.instrument import Instrument

__all__ = ["AGGRESSIVENESS", "SLICES", "meaning"]

SLICES: Final = (
    "withdraw", "nothing more", "1/4 of the pace", "1/2 of the pace", "3/4 of the pace", "the even pace",
    "5/4 of the pace", "3/2 of the pace", "twice the pace", "4 times the pace", "all of it",
)  # fmt: skip
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
        return SLICES[code] if name == "slice" else AGGRESSIVENESS[code]
    return str(code)


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
