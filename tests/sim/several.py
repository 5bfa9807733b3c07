"""Little markets for several at once, and what a trader does on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.multi import MultiSession
from lobgym.sim.params import SimParams
from tests.sim.differential import ROOMY, busy_tape, dressed
from tests.sim.oracle import Message, tape_of

B, S = rec.BUY, rec.SELL
START = 1_000_000_000_000  # a whole second
SECOND = 1_000_000_000
SPOT = replace(SYNTH, kind="spot", symbol="COIN")
INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")
MONEY = SYNTH.money_per_tick_lot  # of one lot at one tick
TIERS = ((0, 100_000, 50_000), (1000 * MONEY, 500_000, 250_000))
PLAIN = SimParams(entry_ns=1, response_ns=1, maker_fee_ppb=0, taker_fee_ppb=0, **ROOMY)
LEVELS = ((B, 99, 10), (B, 98, 10), (S, 101, 10), (S, 102, 10))
BOOK = [(rec.CLEAR, 0, 0, 0, 1), *((rec.SNAPSHOT, side, tick, qty, 1) for side, tick, qty in LEVELS)]
Marks = Sequence[tuple[int, int]]


def busy_markets(seed: int, kinds: Sequence[Instrument] = (SYNTH, SYNTH), marks: int = 40) -> list[Market]:
    """Markets over the same half second, each with a life of its own."""
    made = []
    for k, instrument in enumerate(kinds):
        chance = Random(1000 * seed + k)
        tape = dressed(busy_tape(chance, instrument), chance, marks, 6, chance.choice((0, 3)), 0.3)
        made.append(Market.compile(tape))
    return made


def quiet_market(marks: Marks = (), instrument: Instrument = SYNTH, start_ns: int = START) -> Market:
    """Bids 10 lots at 99 and 98, asks 10 at 101 and 102, for ten seconds; and mark prices in ticks."""
    rows: list[Message] = [(start_ns, start_ns, BOOK)]
    rows += [(start_ns + at, start_ns + at, [(rec.MARK, 0, 0, mark * 10**7, 0)]) for at, mark in marks]
    end = start_ns + 10 * SECOND
    return Market.compile(tape_of([*rows, (end, end, [(rec.INDEX, 0, 0, 5, 0)])], instrument))


def two(capital: int, first: Marks = (), second: Marks = (), account: str = "shared") -> MultiSession:
    params = PLAIN.replace(capital=capital * MONEY, margin_tiers=TIERS)
    markets = {"a": quiet_market(first), "b": quiet_market(second)}
    return MultiSession(markets, params, account=account, log="full", log_rows=100)


def act_as(session: MultiSession, trader: int, chance: Random) -> None:
    for k in range(len(session.names)):
        bid, ask = session.bests(trader, k)
        if bid is not None and ask is not None and len(session.orders(trader, k)) < 20:
            session.submit(trader, k, B, max(1, chance.choice((bid, ask))), 1 + chance.randrange(4))
            session.submit(trader, k, S, chance.choice((bid, ask)), 1 + chance.randrange(4))
