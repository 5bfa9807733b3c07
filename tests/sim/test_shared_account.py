"""One capital on several markets: what a plain restatement says (`tests/sim/reference_shared.py`), answer by answer.

Method: random scripts at random venues on busy little tapes, and quiet hand-made books for what the page
(docs/several-markets.md) states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.kernel import advance
from lobgym.sim.multi import MultiSession
from tests.sim.differential import MS, Pair, compare_answers, random_venue
from tests.sim.reference_shared import SharedAccount, SharedLane
from tests.sim.several import (
    INVERSE,
    MONEY,
    PLAIN,
    SECOND,
    SPOT,
    START,
    B,
    S,
    act_as,
    busy_markets,
    two,
)

Clock = Callable[[int], Any]


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


# -- one capital -------------------------------------------------------------------------------------------------------


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


def test_the_check_comes_before_the_requests_of_its_stamp() -> None:
    # At 59 on "a" 35 are left, and 14.75 and 25 needed. An order that would close all arrives at that very moment on
    # "b", whose own tape says nothing then, and finds nothing to reduce.
    session = two(250, [(20, 59)])
    session.submit(0, "a", B, 101, 5, rec.IOC)
    session.submit(0, "b", B, 101, 5, rec.IOC)
    session.advance(START + 19)
    assert session.total().liquidations == 0
    session.submit(0, "b", S, 99, 5, rec.IOC, reduce_only=True)
    session.drain_log()
    session.advance(START + 30)
    assert answers(session) == [
        (20, 0, rec.FILL, 0, 5, rec.LIQUIDATED),
        (20, 1, rec.FILL, 0, 5, rec.LIQUIDATED),
        (20, 1, rec.REJECTED, 2, 0, rec.REDUCE_ONLY),
    ]


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
