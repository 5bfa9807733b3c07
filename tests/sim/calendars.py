"""A market made by hand, three levels a side, whose calendar of marks, funding and halts each test writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape

MS = 1_000_000
SECOND = 1000 * MS
BASE = 1000 * SECOND + MS // 2  # no whole second
INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")
SPOT = find_instrument("binance-spot", "BTCUSDT")
KINDS = pytest.mark.parametrize("instrument", [SYNTH, INVERSE], ids=["linear", "inverse"])
SIDES = pytest.mark.parametrize("side", [rec.BUY, rec.SELL], ids=["long", "short"])

BID, ASK, LOTS = 1000, 1001, 10
TIERS = ((0, 100_000, 50_000),)
AT_ONCE = SimParams(entry_ns=0, response_ns=0, margin_tiers=TIERS, liquidation_fee_ppb=3_000_000)
RICH = 1 << 58

Rows = Sequence[tuple[int, int, int, int, int]]  # kind, side, tick, qty, seq


def market_of(later: Iterable[tuple[int, Rows]], instrument: Instrument = SYNTH, end: int = 20 * SECOND) -> Market:
    """Three levels a side at BASE, then messages at (ns after BASE, rows), and a last row of no meaning at `end`."""
    book = [(rec.SNAPSHOT, rec.BUY, BID - k, LOTS, 1) for k in range(3)]
    book += [(rec.SNAPSHOT, rec.SELL, ASK + k, LOTS, 1) for k in range(3)]
    rows = []
    for after, message in [(0, [(rec.CLEAR, 0, 0, 0, 1), *book]), *later, (end, [(rec.INDEX, 0, 0, 1, 0)])]:
        for k, (kind, side, tick, qty, seq) in enumerate(message):
            last = rec.LAST if k + 1 == len(message) else 0
            rows.append((BASE + after, BASE + after, seq, tick, qty, kind, side, last))
    return Market.compile(Tape(np.array(rows, rec.EVENT_DTYPE), instrument))


def at_ms(after: int) -> int:
    """The settlement time, in milliseconds, that lies `after` ns behind BASE - MS / 2."""
    return (BASE - MS // 2 + after) // MS


def settlement(after: int, rate: int, told: int = 1) -> tuple[int, Rows]:
    return told, [(rec.FUNDING, 0, 0, rate, at_ms(after))]


def mark(after: int, ticks: Fraction | int, instrument: Instrument = SYNTH) -> tuple[int, Rows]:
    return after, [(rec.MARK, 0, 0, floor(ticks * Fraction(instrument.tick_size) * 10**8), 0)]


def depth(after: int, side: int, tick: int, qty: int, seq: int) -> tuple[int, Rows]:
    return after, [(rec.DEPTH, side, tick, qty, seq)]


def status(after: int, halted: int) -> tuple[int, Rows]:
    return after, [(rec.STATUS, 0, 0, halted, 0)]


def open_session(market: Market, params: SimParams = AT_ONCE, lanes: int = 1) -> Session:
    session = Session(market, params, lanes, log="full", log_rows=4096)
    session.reset(BASE)
    return session


def take(session: Session, side: int, qty: int) -> None:
    """Hold a position of `qty` lots at once."""
    session.submit(0, side, 1, qty, rec.MARKET)
    session.advance(session.t_ns())
    assert session.account().position_lots == side * qty


def answers(session: Session) -> list[Any]:
    log = session.drain_log()
    return [row for row in log if row["kind"] < rec.SENT_SUBMIT]


def said(rows: Iterable[Any]) -> list[tuple[int, int]]:
    return [(int(row["kind"]), int(row["reason"])) for row in rows]


def notional(instrument: Instrument, position: int, ticks: Fraction | int) -> Fraction:
    """Exact and signed, in money units, at a price of `ticks` (cut to 1e-8, as marks are)."""
    price = Fraction(floor(ticks * Fraction(instrument.tick_size) * 10**8), 10**8)
    size = position * Fraction(instrument.lot_size) * Fraction(instrument.contract_size)
    return (size / price if instrument.is_inverse else size * price) / Fraction(instrument.money_unit)


def value(instrument: Instrument, position: int, ticks: Fraction | int) -> int:
    exact = notional(instrument, position, ticks)
    return floor(-exact if instrument.is_inverse else exact)


def needed(instrument: Instrument, position: int, ticks: Fraction | int, ppm: int) -> int:
    return ceil(Fraction(ceil(abs(notional(instrument, position, ticks))) * ppm, 10**6))
