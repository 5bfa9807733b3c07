"""A trial for columns: does anything observed depend on what the tape holds later?

Two desks live through the same tape, but for one everything that the exchange stamps after some time is another, or is
missing. Until then both must see the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LayoutError, ParamsError
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.rng import draw
from lobgym.sim.tape import Tape, open_tape

__all__ = ["changed_after", "check_causal"]

_STREAM: Final = 77
# So long that some answers are still missing when the next decision is made.
_LATENCY_NS: Final = 120_000_000


def changed_after(tape: Tape, after_ns: int, how: str) -> Tape:
    """The tape with everything stamped after `after_ns` at the exchange "corrupted" or "cut" off."""
    late = tape.events["exch_ns"] > after_ns
    if how == "cut":
        return Tape(tape.events[~late], tape.instrument, tape.provenance)
    events = tape.events.copy()
    sized = late & (events["qty_lots"] > 0)
    events["qty_lots"][sized] = events["qty_lots"][sized] * 7 + 13
    events["price_ticks"][late] += 5_000
    return Tape(events, tape.instrument, tape.provenance)


def check_causal(
    columns: Iterable[str], tape: Tape | str = "synth?seed=7&minutes=3", kind: str = "grid", steps: int = 200,
    step_ns: int = 250_000_000, seed: int = 0,
) -> None:  # fmt: skip
    """Drive a desk by random codes and compare what it observes with what it does on a tape with another future.

    Args:
        columns: names in a layout, registered ones among them.
        tape: at least `steps` * `step_ns` long; its future begins where the steps end.
        kind: of the desk that trades meanwhile, so that columns of own orders have something to show.
        seed: of the codes.

    Raises:
        LayoutError: a column saw the future; it says which, and when. ParamsError: a tape that is too short.
    """
    layout = ObservationLayout(tuple(columns))
    given = open_tape(tape) if isinstance(tape, str) else tape
    market = Market.compile(given)
    until = market.start_ns + steps * step_ns
    if until > market.end_ns:
        raise ParamsError(f"{steps} steps of {step_ns} ns do not fit on this tape: take a longer one, or fewer steps")
    changes: dict[str, Any] = {
        "interval_ns": step_ns,
        "layout": layout,
        "params": SimParams(entry_ns=_LATENCY_NS, response_ns=_LATENCY_NS),
    }
    for how in ("corrupted", "cut"):
        other = Market.compile(changed_after(given, until, how))
        desks = [Desk(DeskSpec.for_market(one, kind, **changes), one) for one in (market, other)]
        for desk in desks:
            desk.reset(market.start_ns)
        _compare(desks, layout, how)
        for step in range(steps):
            if int(desks[1].t_ns[0]) + step_ns > desks[1].end_ns:
                break  # the tape that was cut ends with its last message
            codes = _codes(desks[0], seed, step)
            for desk in desks:
                desk.step(codes, observe=False)
            _compare(desks, layout, how)


def _codes(desk: Desk, seed: int, step: int) -> NDArray[np.int32]:
    with np.errstate(over="ignore"):
        drawn = [int(draw(seed, _STREAM + k, step)) % int(bins) for k, bins in enumerate(desk.action.bins_array)]
    return np.array([drawn], np.int32)


def _compare(desks: list[Desk], layout: ObservationLayout, how: str) -> None:
    mine, other = (desk.observe()[0] for desk in desks)
    if not np.array_equal(mine, other):
        k = int(np.flatnonzero(mine != other)[0])
        raise LayoutError(
            f"column {layout.names[k]!r} sees the future: at {int(desks[0].t_ns[0])} ns it is {mine[k]}, and "
            f"{other[k]} where the tape is {how} later on; read the local book only up to the lane's local cursor"
        )
