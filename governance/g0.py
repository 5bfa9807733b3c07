"""G0, DataTruth: is this tape what a venue said, whole and in order?

Rules (every limit is a named constant below):
- the content has the digest that it states, and events obey their order, flags and value ranges;
- no state of the rebuilt book is crossed or locked;
- wherever a best quote and a depth message carry the same update id, price and size of the rebuilt bests are equal;
- no print lies further from the book's mid than `PRINT_DISTANCE_PPM_MAX`;
- gaps, and the time without a bid and an ask, stay within limits;
- the provenance states the clock offset that the receive stamps were corrected by.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.governance.rebuild import BookStates, rebuild
from lobgym.governance.result import Check, GateResult, at_least, at_most, equal
from lobgym.sim import records as rec
from lobgym.sim.errors import LobgymError
from lobgym.sim.tape import Tape, open_tape

__all__ = ["gate_g0"]

TITLE: Final = "DataTruth"
CROSSED_MAX: Final = 0
BBO_MISMATCH_MAX: Final = 0
PRINT_DISTANCE_PPM_MAX: Final = 10_000  # 1% of the mid
GAPS_MAX: Final = 3
NO_BOOK_PPM_MAX: Final = 20_000  # 2% of the time
STATES_MIN: Final = 10
PPM: Final = 1_000_000
DISTANCE_CAP: Final = 1 << 42


def gate_g0(tape: Tape | str | os.PathLike[str]) -> GateResult:
    """Judge a tape, or the file of one: a file that does not load fails the gate, it does not raise."""
    try:
        opened = open_tape(tape)
        again = Tape(opened.events, opened.instrument).digest
    except LobgymError as error:
        check = Check("the tape loads and its digest verifies", False, "a valid tape", str(error))
        return GateResult.of("G0", TITLE, [check])
    events = opened.events
    states = rebuild(events)
    checks = [
        equal("the content has the digest that it states", opened.digest, again),
        *_rows(events),
        at_least("states of the book", STATES_MIN, len(states.ns)),
        at_most("crossed or locked states of the book", CROSSED_MAX, _crossed(states)),
        *_best_quotes(events, states),
        at_most("furthest print from the mid", PRINT_DISTANCE_PPM_MAX, _print_distance_ppm(events, states), "ppm"),
        at_most("gaps", GAPS_MAX, _gaps(events)),
        at_most("time without a bid and an ask", NO_BOOK_PPM_MAX, _no_book_ppm(events, states), "ppm of the span"),
        _clock(opened.provenance),
    ]
    notes = [
        f"{len(events)} rows, {len(states.ns)} states of the book, {int((events['kind'] == rec.TRADE).sum())} prints"
    ]
    return GateResult.of("G0", TITLE, checks, notes)


def _clock(provenance: dict[str, Any]) -> Check:
    """The correction of the receive stamps, in nanoseconds; a generated market has one clock and needs none."""
    clock = provenance.get("clock")
    correction = clock.get("correction_ns") if isinstance(clock, dict) else None
    if correction is None and provenance.get("source") in ("synthetic", "exchange"):
        correction = 0
    stated = isinstance(correction, int) and not isinstance(correction, bool)
    actual = f"{correction} ns" if stated else "none stated"
    return Check("clock correction of the receive stamps", stated, "stated in the provenance", actual)


def _rows(events: NDArray[np.void]) -> list[Check]:
    exch, kind, qty, tick = events["exch_ns"], events["kind"], events["qty_lots"], events["price_ticks"]
    last = (events["flags"] & rec.LAST) != 0
    priced = np.isin(kind, (rec.DEPTH, rec.TRADE, rec.SNAPSHOT))
    split = ~last[:-1] & (exch[1:] != exch[:-1])
    return [
        at_most("exchange stamps that go back", 0, int((np.diff(exch) < 0).sum())),
        at_most("rows received before they happened", 0, int((events["local_ns"] < exch).sum())),
        at_most("messages without their last row", 0, int(split.sum()) + int(not last[-1])),
        at_most("prices of 0 or below", 0, int((tick[priced] <= 0).sum())),
        at_most("negative quantities", 0, int((qty[kind != rec.FUNDING] < 0).sum())),
        at_most("prints without a quantity", 0, int((qty[kind == rec.TRADE] <= 0).sum())),
    ]


def _crossed(states: BookStates) -> int:
    return int((states.two_sided & (states.bid >= states.ask)).sum())


def _best_quotes(events: NDArray[np.void], states: BookStates) -> list[Check]:
    """Best quotes against the rebuilt book at equal update ids, price and size."""
    quotes = events[(events["kind"] == rec.BBO) & (events["seq"] > 0)]
    known = np.flatnonzero(states.seq > 0)
    order = known[np.argsort(states.seq[known], kind="stable")]
    at = np.searchsorted(states.seq[order], quotes["seq"], side="right") - 1
    found = at >= 0
    state = order[np.where(found, at, 0)] if len(order) else np.zeros(len(quotes), np.int64)
    found &= states.seq[state] == quotes["seq"] if len(order) else False
    buy = quotes["side"] == rec.BUY
    tick = np.where(buy, states.bid[state], states.ask[state])
    qty = np.where(buy, states.bid_qty[state], states.ask_qty[state])
    wrong = found & ((tick != quotes["price_ticks"]) | (qty != quotes["qty_lots"]))
    compared = int(found.sum())
    name = f"best quotes that differ from the book at their update id, of {compared} compared"
    return [at_most(name, BBO_MISMATCH_MAX, int(wrong.sum()))]


def _print_distance_ppm(events: NDArray[np.void], states: BookStates) -> int:
    """The largest distance of a print from the last mid before or at its stamp, in millionths of that mid."""
    prints = events[events["kind"] == rec.TRADE]
    at = np.searchsorted(states.ns, prints["exch_ns"], side="right") - 1
    usable = (at >= 0) & states.two_sided[np.maximum(at, 0)]
    at, tick = at[usable], prints["price_ticks"][usable]
    if not len(at):
        return 0
    twice_mid = states.bid[at] + states.ask[at]
    distance = np.minimum(np.abs(2 * tick - twice_mid), DISTANCE_CAP)  # so that the product fits int64
    return int((distance * PPM // np.maximum(twice_mid, 1)).max())


def _gaps(events: NDArray[np.void]) -> int:
    """Resets of the book that no snapshot follows."""
    return int(((events["kind"] == rec.CLEAR) & ((events["flags"] & rec.LAST) != 0)).sum())


def _no_book_ppm(events: NDArray[np.void], states: BookStates) -> int:
    """Share of the span, in millionths, in which the rebuilt book lacks a side."""
    start, end = int(events["exch_ns"][0]), int(events["exch_ns"][-1])
    held = np.diff(states.ns, append=end)
    with_book = int(held[states.two_sided].sum())
    return (end - start - with_book) * PPM // max(end - start, 1)
