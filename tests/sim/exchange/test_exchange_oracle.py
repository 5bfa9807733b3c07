"""Goal: the exchange follows its rules (docs/exchange.md) to the last lot and coin.

Method: random flows, members and calendars through an `Exchange` and through a plain restatement of the rules
(`reference_exchange.py`); compared are every answer, every print, every event of an order, every queue order by order,
every account, and that nothing is created: positions and cash of all members and of the flow sum to 0.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, find_instrument
from lobgym.sim.params import SimParams
from tests.sim.exchange.duel import MS, ROOMY, SELF_TRADE, START_NS, Duel, run_random
from tests.sim.exchange.scripted_flow import CANCEL, INDEX, SUBMIT, TAKE, Act

RUNS, MESSAGES = 60, 700
# By hand, over a million: LOBGYM_EXCHANGE_MESSAGES=1000000 pytest tests/sim/exchange/test_exchange_oracle.py
LONG = int(os.environ.get("LOBGYM_EXCHANGE_MESSAGES", "100000"))


@cache
def short_runs() -> Counter[str]:
    met: Counter[str] = Counter()
    for seed in range(RUNS):
        met += run_random(seed, MESSAGES)
    return met


def test_random_markets_agree_with_the_reference() -> None:
    met = short_runs()
    assert met["messages"] > 0.9 * RUNS * MESSAGES
    assert met["answers"] > 10_000
    assert met["prints"] > 5_000


def test_every_rule_is_met() -> None:
    met = short_runs()
    answers = {
        rec.ACK: ("ok",),
        rec.FILL: ("ok", "liquidated"),
        rec.CANCELLED: ("ok", "self_trade", "liquidated"),
        rec.EXPIRED: ("would_take", "nothing_to_take", "cannot_fill", "self_trade", "reduce_only"),
        rec.REJECTED: ("halted", "rate_limit", "reduce_only", "margin", "unknown_level", "lost"),
        rec.CANCEL_REJECTED: ("already_done", "lost"),
        rec.MODIFIED: ("ok",),
        rec.MODIFY_REJECTED: ("already_done", "halted", "rate_limit", "margin", "reduce_only", "lost"),
        rec.FUNDED: ("ok",),
    }
    wanted = [f"answer {kind}: {reason}" for kind, reasons in answers.items() for reason in reasons]
    wanted += [
        "a resting order has nothing to reduce", "modify keeps its place", "modify comes anew", "no room in the book",
        "auction of 0 rounds", "auction of 1 rounds", "liquidation closes all", "flow takes back a part",
        "flow takes back all", "flow refused in phase 0", "flow refused in phase 1", "flow refused in phase 2",
        "print in phase 0", "print in phase 1", "request queued", "answer queued", "funding paid",
    ]  # fmt: skip
    assert [name for name in wanted if not met[name]] == []


@pytest.mark.parametrize(
    ("venue", "symbol"), [("binance-coinm", "BTCUSD_PERP"), ("binance-spot", "BTCUSDT"), ("binance-usdm", "ETHUSDT")]
)
def test_any_kind_of_contract(venue: str, symbol: str) -> None:
    for seed in range(8):
        assert run_random(1000 + seed, 500, instrument=find_instrument(venue, symbol))["messages"] > 400


def test_a_long_run_agrees() -> None:
    """Compared every few hundred messages, and everything that was said and answered in between."""
    met = run_random(11, LONG, compare_every=50 + LONG // 5000, node_room=1 << 16)
    assert met["messages"] > LONG
    assert met["order events"] > LONG // 2


# -- small cases, which hypothesis makes smaller -----------------------------------------------------------------------

MID = 50_000
TICKS = st.integers(MID - 3, MID + 3)
SIDES = st.sampled_from((rec.BUY, rec.SELL))
LOTS = st.integers(1, 6)
CALLS = st.one_of(
    st.tuples(st.just("flow"), SIDES, TICKS, LOTS, st.sampled_from((SUBMIT, SUBMIT, TAKE))),
    st.tuples(st.just("back"), st.integers(0, 20), LOTS),
    st.tuples(st.just("submit"), st.integers(0, 1), SIDES, TICKS, LOTS, st.integers(0, 4), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 1), st.integers(1, 12)),
    st.tuples(st.just("modify"), st.integers(0, 1), st.integers(1, 12), TICKS, LOTS),
    st.tuples(st.just("phase"), st.sampled_from((0, 0, 1, 2, 2))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=40), st.sampled_from(SELF_TRADE), st.sampled_from((0, 7)))
def test_small_markets_agree(calls: list[tuple[int, ...]], self_trade: str, entry_ns: int) -> None:
    acts, schedule = [], []
    for k, call in enumerate(calls):
        ns = START_NS + 10 * (k + 1)
        if call[0] == "flow":
            acts.append(Act(ns, call[4], call[1], call[2], call[3]))
        elif call[0] == "back" and acts:
            acts.append(Act(ns, CANCEL, rec.BUY, 1, call[2], call[1] % len(acts)))
        elif call[0] == "phase":
            schedule.append((ns, 0, call[1], 0))
    params = SimParams(entry_ns=entry_ns, response_ns=0, self_trade=self_trade, **ROOMY)
    duel = Duel(acts or [Act(START_NS, SUBMIT, rec.BUY, MID, 1)], params, schedule=schedule, node_room=64)
    for k, call in enumerate(calls):
        duel.advance(START_NS + 10 * (k + 1))
        if call[0] == "submit":
            duel.submit(*call[1:])
        elif call[0] in ("cancel", "modify"):
            order = duel.reference.members[call[1]].orders.get(call[2])
            if order is not None and order.view_state != rec.DONE:
                getattr(duel, call[0])(*call[1:])
        duel.compare()
    duel.advance(START_NS + MS)
    duel.compare()


# -- cases that chance seldom makes ------------------------------------------------------------------------------------


def quiet(members: int = 3, **more: object) -> Duel:
    """Members without latency, and nobody else."""
    rules = {"self_trade": more.pop("self_trade", "expire_maker")}
    acts = [Act(START_NS + MS * 1000, SUBMIT, rec.BUY, 1, 1)]
    return Duel(acts, SimParams(entry_ns=0, response_ns=0, **rules, **ROOMY), members, **more)  # type: ignore[arg-type]


def test_a_fill_or_kill_never_fills_in_part() -> None:
    """What only reduces is counted with the position that is left when the order comes to it."""
    duel = quiet()
    duel.submit(1, rec.SELL, MID, 5)
    duel.submit(0, rec.BUY, MID, 5)
    duel.advance(START_NS + 1)  # member 0 holds 5 lots
    duel.submit(0, rec.SELL, MID + 1, 3)
    duel.submit(0, rec.SELL, MID + 2, 5, reduce_only=True)  # 2 of them will be left to reduce
    duel.submit(0, rec.SELL, MID + 3, 5, reduce_only=True)  # none
    duel.submit(2, rec.SELL, MID + 4, 1)
    duel.advance(START_NS + 2)
    duel.submit(2, rec.BUY, MID + 3, 6, rec.FOK)
    duel.advance(START_NS + 3)
    assert duel.exchange.account(2).position_lots == 0
    duel.submit(1, rec.BUY, MID + 4, 6, rec.FOK)
    duel.advance(START_NS + 4)
    duel.compare()
    assert duel.exchange.account(1).position_lots == -5 + 6


def test_an_auction_leaves_nothing_crossed() -> None:
    """Own orders that would meet end without a trade; what they stood before trades in a further round."""
    duel = quiet(schedule=((START_NS + 1, 0, 2, 0), (START_NS + 100, 0, 0, 0)))
    duel.advance(START_NS + 1)
    for member, side, tick, qty in (
        (0, rec.BUY, MID + 5, 10), (0, rec.SELL, MID - 5, 10), (1, rec.BUY, MID + 3, 4), (2, rec.SELL, MID + 4, 20),
    ):  # fmt: skip
        duel.submit(member, side, tick, qty)
        duel.advance(duel.exchange.now_ns + 1)
    duel.compare()
    duel.advance(START_NS + 200)
    met = duel.finish()
    assert met["auction of 2 rounds"] == 1
    assert [duel.exchange.account(member).position_lots for member in range(3)] == [10, 0, -10]


def test_a_liquidation_cancels_by_id_and_leaves_what_the_book_cannot_take() -> None:
    """Slots are reused, so that the order of slots is not that of ids; in a halt the position stays."""
    worth = MID * 10_000  # of a lot
    rules = {"capital": worth, "margin_tiers": ((0, 50_000, 25_000),), "self_trade": "none"}
    index = [(START_NS + 5, MID * 10_000_000), (START_NS + 50, MID * 9_000_000), (START_NS + 70, MID * 9_000_000)]
    acts = [Act(START_NS, SUBMIT, rec.SELL, MID, 10), *(Act(ns, INDEX, rec.BUY, 1, mark) for ns, mark in index)]
    params = SimParams(entry_ns=0, response_ns=0, **rules, **ROOMY)
    duel = Duel(acts, params, 2, mark_every_ns=20, schedule=((START_NS + 55, 0, 1, 0), (START_NS + 75, 0, 0, 0)))
    duel.submit(0, rec.BUY, MID, 9)
    for k in range(4):
        duel.submit(0, rec.BUY, MID - 5 - k, 1)
    duel.advance(START_NS + 1)
    for order_id in (3, 2):
        duel.cancel(0, order_id)
    duel.advance(START_NS + 2)
    for k in range(2):
        duel.submit(0, rec.BUY, MID - 20 - k, 1)
    duel.submit(1, rec.BUY, MID - 10, 4)
    for stamp in (3, 58, 62, 90, 200):
        duel.advance(START_NS + stamp)
        duel.compare()
    met = duel.finish()
    assert met["answer 3: liquidated"] == 4
    assert met["liquidation leaves some"] >= 1
    assert duel.exchange.account(0).position_lots == 9 - 4


def test_the_same_in_any_order_of_calls() -> None:
    """Requests of equal stamps arrive by member, however they were submitted."""
    digests = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        duel = quiet()
        for member in order:
            duel.submit(member, (rec.BUY, rec.SELL, rec.BUY)[member], MID, 3 + member)
        duel.advance(START_NS + 1)
        duel.compare()
        digests.append(duel.exchange.run_digest())
    assert len(set(digests)) == 1
    assert duel.exchange.instrument == SYNTH
