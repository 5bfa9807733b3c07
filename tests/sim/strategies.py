"""Hypothesis strategies: tiny tapes that try every quarrel between the rules, and scripts of orders."""

from __future__ import annotations

from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.tape import Tape
from tests.sim.oracle import Message, tape_of

START_NS = 1000
TICKS = 14  # prices run from 1 to this
SIDES = st.sampled_from((rec.BUY, rec.SELL))

_levels = st.tuples(SIDES, st.integers(1, TICKS), st.integers(0, 6))
_kinds = st.sampled_from((rec.DEPTH, rec.DEPTH, rec.TRADE, rec.TRADE, rec.BBO, rec.BBO, rec.CLEAR, rec.MARK))
# Equal stamps are the rule here; depth ids and quote ids wander around each other.
_steps = st.tuples(
    _kinds, st.sampled_from((0, 0, 0, 1, 4)), st.integers(0, 9), st.lists(_levels, min_size=1, max_size=4),
    st.integers(-3, 6), st.booleans(),
)  # fmt: skip


def _message(kind: int, stamp: int, delay: int, levels: list[tuple[int, int, int]], seq: int, flag: bool) -> Message:
    if kind == rec.DEPTH:
        rows = [(kind, side, tick, qty, seq) for side, tick, qty in levels]
    elif kind == rec.TRADE:
        rows = [(kind, side, tick, qty + 1, seq) for side, tick, qty in levels[:2]]
    elif kind == rec.BBO:
        low, high = sorted((levels[0][1], levels[-1][1] + flag))
        rows = [(kind, rec.BUY, low, levels[0][2], seq), (kind, rec.SELL, high, levels[-1][2], seq)]
        rows = rows[: 1 + (len(levels) > 1)]
    elif kind == rec.CLEAR:
        rows = [(kind, 0, 0, 0, seq)]
        if flag:
            rows += [(rec.SNAPSHOT, side, tick, qty + 1, seq) for side, tick, qty in levels]
    else:
        rows = [(kind, 0, 0, 5, seq)]
    return stamp, stamp + delay, rows


@st.composite
def tapes(draw: st.DrawFn, instrument: Instrument = SYNTH, messages_max: int = 25) -> Tape:
    """A tape of up to `messages_max` messages behind a first book of two levels a side."""
    first = [(rec.DEPTH, side, tick, 3, 10) for side, tick in ((1, 4), (1, 5), (-1, 9), (-1, 10))]
    if draw(st.booleans()):
        first = [(rec.CLEAR, 0, 0, 0, 10), *((rec.SNAPSHOT, *row[1:]) for row in first)]
    # It has a stamp of its own: a market begins where a bid and an ask were seen together.
    out: list[Message] = [(START_NS - 1, START_NS - 1, first)]
    stamp, seq = START_NS, 10
    for kind, gap, delay, levels, ahead, flag in draw(st.lists(_steps, min_size=1, max_size=messages_max)):
        stamp += gap
        seq += flag
        out.append(_message(kind, stamp, delay, levels, max(0, seq + ahead), flag))
    return tape_of(out, instrument)


@st.composite
def quiet_tapes(draw: st.DrawFn) -> Tape:
    """Bids at 4 and 5 and asks at 9 and 10 whose quantities change, and prints; every message with its own stamp."""
    levels = ((1, 4), (1, 5), (-1, 9), (-1, 10))
    out: list[Message] = [(START_NS, START_NS, [(rec.CLEAR, 0, 0, 0, 1)] + [(4, s, t, 3, 1) for s, t in levels])]
    some = st.tuples(st.booleans(), st.sampled_from(levels), SIDES, st.integers(1, TICKS), st.integers(1, 9))
    for k, (is_print, level, side, tick, qty) in enumerate(draw(st.lists(some, min_size=1, max_size=25))):
        row = (rec.TRADE, side, tick, qty, k) if is_print else (rec.DEPTH, *level, qty - 1, k + 2)
        out.append((START_NS + 2 * k + 2, START_NS + 2 * k + 3, [row]))
    return tape_of(out)


def scripts(
    ticks: tuple[int, int] = (3, 12), tifs: tuple[int, ...] = (rec.GTC, rec.GTX, rec.IOC)
) -> st.SearchStrategy[list[tuple[int, int, int, int, int, bool]]]:
    """Lists of (gap to the next order, side, tick, qty, tif, whether the order before is cancelled)."""
    order = st.tuples(
        st.integers(0, 3), SIDES, st.integers(*ticks), st.integers(1, 7), st.sampled_from(tifs), st.booleans()
    )
    return st.lists(order, min_size=3, max_size=25)
