"""Several markets in one session: apart, they are separate sessions to the last bit, and no feed is ahead of its time.

Method: random scripts on busy little tapes (books around 100 ticks, marks, funding, halts), quiet hand-made books, and
the recordings of one evening, spot and perpetual.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

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
from lobgym.sim.instrument import SYNTH
from lobgym.sim.kernel import advance
from lobgym.sim.latency import LatencyQuantiles
from lobgym.sim.market import Market
from lobgym.sim.multi import MultiSession
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import open_tape
from tests.sim.differential import MS, random_venue
from tests.sim.oracle import recording
from tests.sim.several import (
    INVERSE,
    MONEY,
    PLAIN,
    SECOND,
    SPOT,
    START,
    TIERS,
    B,
    S,
    act_as,
    busy_markets,
    quiet_market,
    two,
)

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


def test_copies_are_clones_and_pickles_are_refused() -> None:
    market = Market.compile(open_tape("synth?seed=1&minutes=1"))
    session = MultiSession({"a": market, "b": market})
    twin = copy.deepcopy(session)
    twin.advance(market.start_ns + 1_000_000_000)
    assert session.t_ns() == market.start_ns < twin.t_ns()
    with pytest.raises(SessionError, match="cannot be pickled"):
        session.__reduce__()
    with pytest.raises(SessionError, match="trader"):
        session.advance_to_feed(1)
