"""Several markets in one session: apart, they are separate sessions to the last bit; with one capital, they are what a
plain restatement says (`tests/sim/reference_shared.py`), answer by answer.

Method: random scripts on busy little tapes (books around 100 ticks, marks, funding, halts), little hand-made books for
what the page states, and the recordings of one evening, spot and perpetual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import (
    ParamsError,
    SessionError,
    TapeExhaustedError,
    TimeReversedError,
    UnknownMarketError,
    UnknownOrderError,
)
from lobgym.sim.instrument import SYNTH, Instrument, find_instrument
from lobgym.sim.kernel import advance
from lobgym.sim.latency import LatencyQuantiles
from lobgym.sim.market import Market
from lobgym.sim.multi import MultiSession
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from tests.sim.differential import MS, ROOMY, Pair, busy_tape, compare_answers, dressed, random_venue
from tests.sim.oracle import Message, recording, tape_of
from tests.sim.reference_shared import SharedAccount, SharedLane

B, S = rec.BUY, rec.SELL
START = 1_000_000_000_000  # a whole second
SECOND = 1_000_000_000
SPOT = replace(SYNTH, kind="spot", symbol="COIN")
INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")
MONEY = SYNTH.money_per_tick_lot  # of one lot at one tick
Clock = Callable[[int], Any]


def busy_markets(seed: int, kinds: Sequence[Instrument] = (SYNTH, SYNTH), marks: int = 40) -> list[Market]:
    """Markets over the same half second, each with a life of its own."""
    made = []
    for k, instrument in enumerate(kinds):
        chance = Random(1000 * seed + k)
        tape = dressed(busy_tape(chance, instrument), chance, marks, 6, chance.choice((0, 3)), 0.3)
        made.append(Market.compile(tape))
    return made


def script(pairs: Sequence[Pair], chance: Random, advance: Clock, start_ns: int, end_ns: int, steps: int) -> None:
    """Random orders on all markets, times that often meet those of the tapes, references compared all along."""
    t = start_ns
    for step in range(steps):
        t = min(t + chance.choice((0, 1, MS, chance.randrange(8 * MS))), end_ns)
        advance(t)
        for pair in pairs:
            if step % 5 == 0:
                pair.compare()
            if chance.random() < 0.6:
                pair.act(chance, 12)
    advance(end_ns)


# -- accounts apart ----------------------------------------------------------------------------------------------------


def venues(markets: Sequence[Market], seed: int) -> list[SimParams]:
    return [
        random_venue(Random(seed + k), market, 2 * MS, 1200 * MONEY, seed + k).replace(rate_limit=0)
        for k, market in enumerate(markets)
    ]


def act_at_random(chance: Random, session: MultiSession, apart: Sequence[Session]) -> None:
    """The same calls on both, chosen by what the lanes show."""
    trader, k = chance.randrange(session.traders), chance.randrange(len(apart))
    bid, ask = session.bests(trader, k)
    assert (bid, ask) == apart[k].bests(trader)
    if bid is None or ask is None or len(session.orders(trader, k)) > 20:
        return
    side = chance.choice((B, S))
    tick = max(1, chance.choice((bid, ask, bid - 2, ask + 2)))
    order = session.submit(trader, k, side, tick, qty := chance.randrange(1, 9), tif := chance.choice((0, 0, 1, 2, 4)))
    assert order == apart[k].submit(trader, side, tick, qty, tif)
    if chance.random() < 0.4:
        session.cancel(trader, k, order)
        apart[k].cancel(trader, order)
    elif chance.random() < 0.4:
        session.modify(trader, k, order, tick, qty + 1)
        apart[k].modify(trader, order, tick, qty + 1)


@pytest.mark.parametrize("seed", range(6))
def test_markets_apart_are_sessions_apart(seed: int) -> None:
    """Each market of each trader at times of its own, with its own venue, equals a session that knows no other."""
    chance = Random(seed)
    markets = busy_markets(seed, (SYNTH, INVERSE, SPOT)[: 2 + seed % 2])
    params = venues(markets, seed)
    session = MultiSession(markets, params, traders=3, log="full", log_rows=20_000)
    apart = [Session(market, one, 3, "full", 20_000) for market, one in zip(markets, params, strict=True)]
    seeds = np.arange(3 * len(markets), dtype=np.uint64).reshape(3, -1)
    session.reset(seed=seeds)
    for k, one in enumerate(apart):
        one.reset(session.start_ns, seed=np.ascontiguousarray(seeds[:, k]))
    for _ in range(150):
        act_at_random(chance, session, apart)
        clocks = np.array([[session.t_ns(i, k) for k in range(len(markets))] for i in range(3)])
        times = clocks + np.array([[chance.randrange(6 * MS) for _ in markets] for _ in range(3)])
        mask = np.array([[chance.random() < 0.7 for _ in markets] for _ in range(3)])
        times = np.minimum(times, session.end_ns)
        session.advance(times, mask)
        for k, one in enumerate(apart):
            for i in np.flatnonzero(mask[:, k]).tolist():
                advance(one.world, i, int(times[i, k]))
    session.advance(session.end_ns)
    log = session.drain_log()
    for k, one in enumerate(apart):
        one.advance(session.end_ns)
        assert session.session(k).run_digest() == one.run_digest()
        rows, expected = log[log["market"] == k], one.drain_log()
        assert len(rows) == len(expected) > 50
        for i in range(3):
            for name in rec.LOG_DTYPE.names or ():
                assert (rows[rows["lane"] == i][name] == expected[expected["lane"] == i][name]).all()
    assert (np.diff(log["ns"]) >= 0).all()


# -- any number of traders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["each", "shared"])
def test_a_trader_does_not_depend_on_the_others(account: str) -> None:
    """Trader 2 of four, and the only one of one, with the same seeds and calls."""
    markets = busy_markets(11)
    params = PLAIN.replace(
        capital=800 * MONEY, margin_tiers=TIERS, feed_jitter_ns=5 * MS, latency=LatencyQuantiles((0, MS), (0, MS))
    )
    many = MultiSession(markets, params, 4, account, "full", 20_000)
    alone = MultiSession(markets, params, 1, account, "full", 20_000)
    many.reset(seed=5)
    alone.reset(seed=7)
    chance = Random(3)
    for _ in range(80):
        choice = chance.random()
        for session, trader in ((many, 2), (alone, 0)):
            act_as(session, trader, Random(choice))
        for trader in (0, 1, 3):
            act_as(many, trader, chance)
        for session in (many, alone):
            session.advance(min(session.t_ns() + 4 * MS, session.end_ns))
    assert many.digest(2) == alone.digest(0) != many.digest(1)
    assert many.total(2) == alone.total(0)
    assert many.total(2).cash != 0


def act_as(session: MultiSession, trader: int, chance: Random) -> None:
    for k in range(len(session.names)):
        bid, ask = session.bests(trader, k)
        if bid is not None and ask is not None and len(session.orders(trader, k)) < 20:
            session.submit(trader, k, B, max(1, chance.choice((bid, ask))), 1 + chance.randrange(4))
            session.submit(trader, k, S, chance.choice((bid, ask)), 1 + chance.randrange(4))


# -- one capital -------------------------------------------------------------------------------------------------------

TIERS = ((0, 100_000, 50_000), (1000 * MONEY, 500_000, 250_000))
PLAIN = SimParams(entry_ns=1, response_ns=1, maker_fee_ppb=0, taker_fee_ppb=0, **ROOMY)


def worth_of(instrument: Instrument) -> int:
    return 12 * instrument.inverse_scale // 100 if instrument.is_inverse else 1200 * instrument.money_per_tick_lot


def run_shared(seed: int, kinds: Sequence[Instrument]) -> Counter[str]:
    """A session of two traders and their restatements under the same calls; what was met."""
    chance = Random(seed)
    markets = busy_markets(seed, kinds, chance.choice((0, 8, 60)))
    worth = worth_of(kinds[0])
    capital = chance.choice((worth // 4, worth // 2, worth))
    tiers = ((0, 50_000, 25_000), (5 * worth, 100_000, 50_000), (10 * worth, 250_000, 125_000))
    params = [
        random_venue(chance, market, chance.choice((1, MS, 2 * MS)), worth, seed + k).replace(
            capital=capital, margin_tiers=None if market.instrument.kind == "spot" else tiers
        )
        for k, market in enumerate(markets)
    ]
    print(params)
    session = MultiSession(markets, params, 2, "shared", "full", 50_000)
    assert session.linked
    seeds = np.arange(2 * len(markets), dtype=np.uint64).reshape(2, -1)
    session.reset(seed=seeds)
    accounts, pairs = [], []
    for i in range(2):
        lanes = []
        for k, (market, one) in enumerate(zip(markets, params, strict=True)):
            events, order = market.tape.events, market.tape.local_order()
            lanes.append(SharedLane(events, order, market.instrument, one, session.start_ns, int(seeds[i, k])))
            pairs.append(Pair(lanes[-1], session.session(k), i))
        accounts.append(SharedAccount(lanes))

    def advance_both(t_ns: int) -> None:
        session.advance(t_ns)
        for account in accounts:
            account.advance(t_ns)

    script(pairs, chance, advance_both, session.start_ns, session.end_ns, 100)
    log = session.drain_log()
    met: Counter[str] = Counter()
    for k in range(len(markets)):
        for i in range(2):
            lane = accounts[i].lanes[k]
            met["answers"] += compare_answers(log[(log["market"] == k) & (log["lane"] == i)], lane.history)
            met += lane.branches
    met["liquidations"] = sum(session.total(i).liquidations for i in range(2))
    met["liquidations of several"] = several_closed(log)
    for pair in pairs:
        pair.compare()
    check_sums(session, log)
    return met


def several_closed(log: Any) -> int:
    """At how many stamps a trader lost positions on more than one market."""
    closed = log[(log["kind"] == rec.FILL) & (log["reason"] == rec.LIQUIDATED)]
    markets: dict[tuple[int, int], set[int]] = {}
    for row in closed:
        markets.setdefault((int(row["ns"]), int(row["lane"])), set()).add(int(row["market"]))
    return sum(len(found) > 1 for found in markets.values())


def check_sums(session: MultiSession, log: Any) -> None:
    """Every unit of the account comes from an answer of some market."""
    for i in range(session.traders):
        mine = log[(log["lane"] == i) & (log["kind"] <= rec.FUNDED)]
        fills, funded = mine[mine["kind"] == rec.FILL], mine[mine["kind"] == rec.FUNDED]
        total = session.total(i)
        assert (total.cash, total.fees) == (int(fills["cash"].sum()), int(fills["fee"].sum()))
        assert total.funding == -int(funded["cash"].sum())
        value = 0
        for k in range(len(session.names)):
            account, here = session.account(i, k), fills[fills["market"] == k]
            assert account.position_lots == int((here["qty"] * here["side"]).sum())
            value += account.equity - (account.cash - account.fees - account.funding)
        assert total.equity == total.cash - total.fees - total.funding + value


def test_one_capital_is_what_the_restatement_says() -> None:
    met: Counter[str] = Counter()
    kinds = ((SYNTH, SYNTH), (SYNTH, SPOT), (INVERSE, INVERSE), (SPOT, SYNTH, SYNTH))
    for seed in range(48):
        met += run_shared(seed, kinds[seed % 4])
    print("\n".join(f"{count:8d} {what}" for what, count in sorted(met.items())))
    assert met["answers"] > 5000
    for what in ("answer 5: margin", "answer 8: margin", "liquidations of several", "answer 9: ok"):
        assert met[what] >= 3, what


LEVELS = ((B, 99, 10), (B, 98, 10), (S, 101, 10), (S, 102, 10))
BOOK = [(rec.CLEAR, 0, 0, 0, 1), *((rec.SNAPSHOT, side, tick, qty, 1) for side, tick, qty in LEVELS)]
Marks = Sequence[tuple[int, int]]


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


def answers(session: MultiSession) -> list[tuple[int, int, int, int, int, int]]:
    """(stamp after START, market, kind, order, lots, reason) of each."""
    log = session.drain_log()
    log = log[log["kind"] <= rec.FUNDED]
    names = ("market", "kind", "order_id", "qty", "reason")
    return [(int(row["ns"]) - START, *(int(row[name]) for name in names)) for row in log]


@pytest.mark.parametrize("account", ["each", "shared"])
def test_what_one_market_gains_carries_the_other(account: str) -> None:
    # 10 lots bought at 101 and 10 sold at 99. At marks of 60, 410 are lost on one and 390 gained on the other.
    session = two(300, [(20, 60)], [(20, 60)], account)
    session.submit(0, "a", B, 101, 10, rec.IOC)
    session.submit(0, "b", S, 99, 10, rec.IOC)
    session.advance(START + SECOND)
    assert session.total().liquidations == (account == "each")
    assert session.account(0, "a").position_lots == (10 if account == "shared" else 0)


def test_liquidation_goes_over_all_markets_in_order() -> None:
    # 5 and 10 lots bought at 101. At 80, 250 - 1,515 + 1,200 are -65; by itself neither market would be closed.
    session = two(250, [(20, 80)], [(10, 99), (20, 80)])
    for name in ("b", "a"):
        session.submit(0, name, B, 101, 5, rec.IOC)
        session.submit(0, name, B, 98, 1)
        session.submit(0, name, S, 102, 1)
    session.advance(START + 10)
    assert session.total().liquidations == 0
    session.submit(0, "b", B, 101, 5, rec.IOC)
    session.advance(START + 19)
    before = answers(session)
    assert [kind for _, _, kind, *_ in before] == [rec.FILL, rec.ACK, rec.ACK] * 2 + [rec.FILL]
    session.advance(START + SECOND)
    assert answers(session) == [
        (20, 0, rec.CANCELLED, 2, 0, rec.LIQUIDATED),
        (20, 0, rec.CANCELLED, 3, 0, rec.LIQUIDATED),
        (20, 0, rec.FILL, 0, 5, rec.LIQUIDATED),
        (20, 1, rec.CANCELLED, 2, 0, rec.LIQUIDATED),
        (20, 1, rec.CANCELLED, 3, 0, rec.LIQUIDATED),
        (20, 1, rec.FILL, 0, 10, rec.LIQUIDATED),
    ]
    total = session.total()
    assert (total.cash, total.liquidations) == (-15 * 2 * MONEY, 1)


def test_an_order_leans_on_the_whole_account() -> None:
    # At the mid of 100, 10 resting lots are 1,000 and need 100. 15 lots on the other market need 350.
    for capital, fits in ((450, True), (449, False)):
        session = two(capital)
        session.submit(0, "a", B, 98, 10)
        session.submit(0, "b", B, 98, 15)
        session.advance(START + 5)
        second = (1, 1, rec.ACK, 1, 15, 0) if fits else (1, 1, rec.REJECTED, 1, 0, rec.MARGIN)
        assert answers(session) == [(1, 0, rec.ACK, 1, 10, 0), second]
        # What arrives together is asked for in the order of the markets, however it was sent.
        session.reset()
        session.submit(0, "b", B, 98, 15)
        session.submit(0, "a", B, 98, 10)
        session.advance(START + 5)
        assert answers(session) == [(1, 0, rec.ACK, 1, 10, 0), second]


def test_every_mark_of_a_stamp_counts_before_the_check() -> None:
    # Fallen on "a", risen on "b", at once: nobody looks in between.
    session = two(300, [(20, 70)], [(20, 130)])
    for name in ("a", "b"):
        session.submit(0, name, B, 101, 10, rec.IOC)
    session.advance(START + SECOND)
    assert session.total().liquidations == 0
    late = two(300, [(20, 70)], [(21, 130)])
    for name in ("a", "b"):
        late.submit(0, name, B, 101, 10, rec.IOC)
    late.advance(START + SECOND)
    assert late.total().liquidations == 1


def test_advancing_one_market_of_a_shared_capital_advances_all() -> None:
    session, other = two(500, [(20, 90)], [(25, 95)]), two(500, [(20, 90)], [(25, 95)])
    for one in (session, other):
        one.submit(0, "a", B, 101, 10, rec.IOC)
        one.submit(0, "b", B, 101, 10, rec.IOC)
    advance(session.world("b"), 0, START + SECOND)
    other.advance(START + 7)
    other.advance(START + 25)
    other.advance(START + SECOND)
    assert session.t_ns(0, "a") == session.t_ns(0, "b") == START + SECOND
    assert session.run_digest() == other.run_digest()


def test_without_a_capital_a_shared_account_is_a_sum() -> None:
    markets = busy_markets(4, (SYNTH, SPOT))
    runs = []
    for account in ("each", "shared"):
        session = MultiSession(markets, PLAIN, 2, account, "full", 20_000)
        assert not session.linked
        chance = Random(1)
        for _ in range(50):
            act_as(session, 1, chance)
            session.advance(min(session.t_ns() + 5 * MS, session.end_ns))
        parts = [session.account(1, k) for k in range(2)]
        assert session.total(1).equity == sum(part.equity for part in parts)
        runs.append([session.session(k).run_digest() for k in range(2)])
    assert runs[0] == runs[1]


# -- the recordings of one evening -------------------------------------------------------------------------------------


def test_nothing_is_known_before_its_time(recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Spot and perpetual with feeds of different delay: at each moment a trader has seen what had arrived, no more."""
    names = {"spot": "spot-btc-0808", "perp": "usdm-btc-0808"}
    tapes = {key: recording(name, recordings_dir, tmp_path_factory.getbasetemp()) for key, name in names.items()}
    markets = {key: Market.compile(tape) for key, tape in tapes.items()}
    delays = {"spot": 35_000_000, "perp": 2_000_000}
    params = {key: SimParams(feed_delay_ns=delay, entry_ns=delay // 2) for key, delay in delays.items()}
    session = MultiSession(markets, params, log="full", log_rows=10_000)
    assert session.end_ns - session.start_ns > SECOND
    session.reset(session.start_ns + SECOND // 2)
    moves = Counter[str]()
    before = dict.fromkeys(names, 0)
    step = 0
    while True:
        try:
            now = session.advance_to_feed()
        except TapeExhaustedError:
            break
        step += 1
        for key, delay in delays.items():
            book, cursor = markets[key].local, int(session.session(key).state.lane["local_cursor"][0])
            assert book.ns[cursor - 1] <= now - delay
            assert cursor == len(book.ns) or book.ns[cursor] > now - delay
            moves[key] += cursor > before[key]
            before[key] = cursor
        if step % 100 == 0:
            for key in names:
                _, ask = session.bests(0, key)
                assert ask is not None
                session.submit(0, key, B, ask, 1, rec.IOC)
    print(f"{step} moments, with rows of {dict(moves)}")
    assert min(moves.values()) > 300
    assert max(moves.values()) < step
    log = session.drain_log()
    for key in names:
        mine = log[(log["market"] == session.number_of(key)) & (log["kind"] == rec.FILL)]
        seen = mine[mine["seen_ns"] <= session.t_ns()]
        assert session.account(0, key).view_position_lots == int((seen["qty"] * seen["side"]).sum()) > 0


# -- time, copies, errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["each", "shared"])
def test_waiting_keeps_the_markets_together(account: str) -> None:
    session = two(500, [(20, 99)], account=account)
    order = session.submit(0, "b", B, 98, 1)
    assert session.wait(0, "b", order, 1000)
    assert [session.t_ns(0, name) for name in "ab"] == [START + 2, START + 2]
    assert not session.wait(0, "b", order, 1000)
    assert session.t_ns(0, "a") == START + 1002


@pytest.mark.parametrize("account", ["each", "shared"])
def test_a_copy_goes_on_alike_and_apart(account: str) -> None:
    params = PLAIN.replace(capital=900 * MONEY, margin_tiers=TIERS)
    session = MultiSession(busy_markets(9), params, 2, account, "full", 20_000)
    session.vary(entry_ns=3 * MS)
    session.vary(1, feed_delay_ns=[0, MS])
    session.reset(seed=3)
    middle = (session.start_ns + session.end_ns) // 2

    def go_on(one: MultiSession) -> str:
        chance = Random(8)
        while one.t_ns() < one.end_ns:
            act_as(one, 0, chance)
            one.advance(min(one.t_ns() + 7 * MS, one.end_ns))
        return one.run_digest()

    session.submit(1, 0, B, 101, 3)
    session.advance(middle)
    kept, copy, start = session.snapshot(), session.clone(), session.run_digest()
    assert copy.run_digest() == start
    end = go_on(session)
    assert copy.run_digest() == start != end
    assert go_on(copy) == end
    session.restore(kept)
    assert session.run_digest() == start
    assert go_on(session) == end
    session.reset(seed=3)
    copy.reset(seed=3)
    assert go_on(session) == go_on(copy)


def test_a_reset_of_some_leaves_the_others() -> None:
    session = MultiSession(busy_markets(2), PLAIN, 2)
    session.advance(session.start_ns + MS)
    session.reset(session.start_ns, mask=np.array([True, False]))
    assert [session.t_ns(i, k) - session.start_ns for i in range(2) for k in range(2)] == [0, 0, MS, MS]


def test_mistakes_are_named() -> None:
    one, params = quiet_market(), PLAIN.replace(capital=10)
    session = MultiSession({"x": one, "y": quiet_market()}, PLAIN)
    for market in ("z", 2, -1, None):
        with pytest.raises(UnknownMarketError, match="x, y, or by number 0 to 1"):
            session.submit(0, market, B, 98, 1)  # type: ignore[arg-type]
    with pytest.raises(ParamsError, match="no time in common"):
        MultiSession([one, quiet_market(start_ns=START + 11 * SECOND)])
    with pytest.raises(ParamsError, match="one currency, got USD in units of 1E-8, BTC in units of 1E-12"):
        MultiSession([one, quiet_market(instrument=INVERSE)], account="shared")
    with pytest.raises(ParamsError, match="one capital"):
        MultiSession([one, one], [params, PLAIN], account="shared")
    with pytest.raises(ParamsError, match="each, shared"):
        MultiSession([one], account="both")
    with pytest.raises(ParamsError, match="at least one market"):
        MultiSession([])
    with pytest.raises(ParamsError, match="for each of 1 markets, got 2"):
        MultiSession([one], [params, params])
    with pytest.raises(ParamsError, match="the markets are x"):
        MultiSession({"x": one}, {"y": params})
    with pytest.raises(SessionError, match="different currencies"):
        MultiSession([one, quiet_market(instrument=INVERSE)]).total()


def test_mistakes_of_time_are_named() -> None:
    session, shared = MultiSession([quiet_market(), quiet_market()], PLAIN), two(500)
    session.advance(np.array([[START + 5, START + 9]]))
    with pytest.raises(TimeReversedError, match=r"in market '1' and cannot go back"):
        session.advance(START + 7)
    assert (session.t_ns(0, 0), session.t_ns(0, 1), session.t_ns()) == (START + 5, START + 9, START + 9)
    with pytest.raises(TapeExhaustedError, match="market '0' ends at"):
        session.advance(session.end_ns + 1)
    with pytest.raises(TapeExhaustedError, match="in common"):
        session.reset(START - 1)
    session.advance(session.end_ns)
    with pytest.raises(TapeExhaustedError, match="has seen all"):
        session.advance_to_feed()
    with pytest.raises(SessionError, match="advance together"):
        shared.advance(np.array([[START + 5, START + 9]]))
    with pytest.raises(SessionError, match="advance together"):
        shared.advance(START + 5, np.array([[True, False]]))
    with pytest.raises(ParamsError, match="vary it on all"):
        shared.vary("a", capital=5)
    with pytest.raises(UnknownOrderError) as caught:
        shared.cancel(0, "b", 7)
    assert caught.value.__notes__ == ["in market 'b'"]
    with pytest.raises(SessionError, match="has 2 markets, the session 1"):
        MultiSession([quiet_market()], PLAIN).restore(session.snapshot())
    kept = shared.snapshot()
    with pytest.raises(SessionError, match="another market"):
        two(500, [], [(5, 3)]).restore(kept)
