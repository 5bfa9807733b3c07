"""Goal: orders of an exchange have the fates that the study says, and the replay meets each in the market without it.

Method: short exchanges worked out by hand, also where depth in batches misleads; two sources for the true place and for
best quotes; on the built-in flow, the market without an order against that with it, and brackets that always hold.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lobgym.experiments.cli.queues import add_to
from lobgym.experiments.errors import ExperimentError
from lobgym.experiments.queue_score import CANCELLED, FILLED, MODELS, OPEN, HiddenMarkets, Probe, ProbeError, score
from lobgym.experiments.queue_score.cancellations import Cancellations
from lobgym.experiments.queue_score.exchange_fate import Fates, read_exchange_orders
from lobgym.experiments.queue_score.exchange_run import BATCH_NS, Run, run_exchange
from lobgym.experiments.queue_score.exchange_study import (
    AT_ONCE,
    BATCHED,
    FEEDS,
    QUOTED,
    WATCH_NS,
    ExchangeStudy,
    levels_and_prints,
    study_runs,
    verify_places,
)
from lobgym.experiments.queue_score.probes import AGES_NS
from lobgym.sim import records as rec
from lobgym.sim.exchange import Exchange
from lobgym.sim.exchange.places import true_places
from lobgym.sim.flow import ReactiveFlow
from lobgym.sim.importers.order_tape import CREATED, DELETED, ORDER_EVENT_DTYPE, OrderTape
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, GTC, SELL
from lobgym.sim.tape import Tape
from lobgym.sim.view import best_ask, best_ask_qty, best_bid, best_bid_qty, level_qty

MS = 1_000_000
S = 1_000 * MS
SPAN_NS = 20 * S
EVERY = 150
TICK = 600_000
BEGIN_NS = 500 * MS  # of probes: before, there is no book
NAMES = [model.name for model in MODELS]

Step = tuple[int, str, int, int, int]  # (ns after the start, order's name, side, tick, lots); 0 lots: cancel

# The order B of 2,000 behind A's 4,000, and C behind it, which is cancelled; 3,000 are sold, then 2,000.
BY_HAND: list[Step] = [
    (100 * MS + 1, "bid", BUY, TICK - 50, 7),
    (110 * MS + 1, "ask", SELL, TICK + 50, 7),
    (1_000 * MS + 1, "A", BUY, TICK, 4_000),
    (2_000 * MS + 1, "B", BUY, TICK, 2_000),
    (2_500 * MS + 1, "C", BUY, TICK, 2_000),
    (3_500 * MS + 1, "C", BUY, TICK, 0),
    (13_000 * MS + 1, "x", SELL, TICK, 3_000),
    (14_000 * MS + 1, "y", SELL, TICK, 2_000),
    (20_000 * MS + 1, "B", BUY, TICK, 0),
    (30_000 * MS + 1, "last", BUY, TICK - 10, 5),
]
# B comes 10 ms after A, before any depth tells of A.
IN_ONE_BATCH: list[Step] = [
    (100 * MS + 1, "bid", BUY, TICK - 50, 7),
    (110 * MS + 1, "ask", SELL, TICK + 50, 7),
    (1_010 * MS + 1, "A", BUY, TICK, 4_000),
    (1_020 * MS + 1, "B", BUY, TICK, 2_000),
    (2_000 * MS + 1, "x", SELL, TICK, 3_000),
    (3_000 * MS + 1, "B", BUY, TICK, 0),
    (3_500 * MS + 1, "last", BUY, TICK - 10, 5),
]


def run_script(steps: list[Step], depth_every_ns: int) -> Run:
    """Each order is a member's own, without latency; the exchange says where those stand that rest."""
    names = list(dict.fromkeys(step[1] for step in steps))
    params = SimParams(entry_ns=0, response_ns=0)
    exchange = Exchange(
        SYNTH, len(names), None, params, record="all", depth_every_ns=depth_every_ns, mark_every_ns=0, start_tick=TICK
    )
    start = exchange.now_ns
    places: dict[int, list[tuple[int, int]]] = {}
    for after, name, side, tick, lots in steps:
        member = names.index(name)
        exchange.advance(start + after)
        if lots == 0:
            exchange.cancel(member, 1)
        else:
            exchange.submit(member, side, tick, lots, GTC)
        exchange.advance(start + after)
        if after > BEGIN_NS and lots and name not in "xy":
            places[exchange.venue_number(member, 1)] = [(0, exchange.queue_ahead(member, 1))]
    end = start + steps[-1][0] + S
    exchange.advance(end)
    return Run(exchange.tape(), exchange.order_tape(), start + BEGIN_NS, end, places)


def study_of(steps: list[Step]) -> ExchangeStudy:
    return study_runs(run_script(steps, 0), run_script(steps, BATCH_NS), every=1)


# -- worked out by hand ------------------------------------------------------------------------------------------------

# 2/3 of the level stand before B, 1/3 behind: the share of the 2,000 cancelled that each model takes off the front.
F, B = 2 / 3, 1 / 3
SHARES = {
    "risk_averse": 0.0,
    "power n=1": F,
    "power n=2": F**2 / (F**2 + B**2),
    "power n=3": F**3 / (F**3 + B**3),
    "power2 n=2": 1 - B**2,
    "power2 n=3": 1 - B**3,
    "power3 n=2": F**2,
    "power3 n=3": F**3,
    "log": math.log(5) / (math.log(5) + math.log(3)),  # in base units: 4 before, 2 behind
    "log2": 1 - math.log(3) / math.log(7),
    "optimistic": 1.0,
}


def test_fates_worked_out_by_hand() -> None:
    study = study_of(BY_HAND)
    a, b, c, last = study.probes
    start = a.entry_ns - 1_000 * MS - 1
    assert [(one.front, one.qty, one.ended) for one in (a, b, c, last)] == [
        (0, 4_000, FILLED), (4_000, 2_000, CANCELLED), (6_000, 2_000, CANCELLED), (0, 5, OPEN),
    ]  # fmt: skip
    assert a.fills == ((start + 13_000 * MS + 1, 3_000), (start + 14_000 * MS + 1, 1_000))
    assert b.fills == ((start + 14_000 * MS + 1, 1_000),)
    assert b.fronts == ((S, 4_000), (10 * S, 4_000))
    assert (c.end_ns - c.entry_ns, c.fronts) == (S, ())
    assert study.facts["places_told_twice"] == 4
    assert study.facts["fills"] == 3
    assert study.facts["orders_cancelled"] == 2
    assert study.mine.all()


@pytest.mark.parametrize("feed", FEEDS)
def test_every_model_does_what_was_worked_out_by_hand(feed: str) -> None:
    """Everything is far enough apart for the batches of 50 ms to tell all of it."""
    study = study_of(BY_HAND)
    played = study.played[feed]
    assert played.placed.all()
    for m, name in enumerate(NAMES):
        front = 4_000 - SHARES[name] * 2_000
        assert played.filled[1, m] == pytest.approx(min(2_000.0, 5_000 - front), abs=1), name
        assert played.fronts[1, m, 0] == 4_000
        assert played.fronts[1, m, 1] == pytest.approx(front, abs=0.1), name
        assert played.filled[0, m] == 4_000
        assert played.done_ns[0, m] == study.probes[0].end_ns
        assert played.filled[2, m] == played.filled[3, m] == 0


def test_a_batch_that_hides_who_came_before_gives_false_fills_and_a_best_quote_cures_it() -> None:
    study = study_of(IN_ONE_BATCH)
    b = study.probes[1]
    assert (b.front, b.fills, b.ended) == (4_000, (), CANCELLED)
    assert (study.played[AT_ONCE].filled[1] == 0).all()
    assert (study.played[BATCHED].filled[1] == 2_000).all()  # nobody seemed to stand before it
    assert (study.played[QUOTED].filled[1] == 0).all()
    scores = study.scores(100)
    regimes = {feed: scores[feed]["regimes"]["behind others"]["models"] for feed in FEEDS}
    assert [regimes[feed]["risk_averse"]["false"] for feed in FEEDS] == [0, 1, 0]


def test_a_place_that_the_exchange_denies_is_refused() -> None:
    run = run_script(BY_HAND, 0)
    fates = fates_of(run, 1)
    number = fates.probes[1].id
    wrong = dataclasses.replace(run, places={**run.places, number: [(0, 3_999)]})
    with pytest.raises(ProbeError, match="its tape of orders"):
        verify_places(wrong, fates.probes)
    with pytest.raises(ProbeError, match="the orders of two runs differ"):
        study_runs(run, run_script(IN_ONE_BATCH, BATCH_NS), every=1)


def test_orders_and_prints_that_contradict_each_other_are_refused() -> None:
    run = run_script(BY_HAND, 0)
    events = run.tape.events.copy()
    events["qty_lots"][events["kind"] == rec.TRADE] += 2_000
    with pytest.raises(ProbeError, match="took from no order"):
        fates_of(dataclasses.replace(run, tape=Tape(events, SYNTH)), 1)
    rows = run.orders.events.copy()
    rows["order_id"][3] = rows["order_id"][2]
    with pytest.raises(ProbeError, match="was it there before"):
        fates_of(dataclasses.replace(run, orders=OrderTape(rows, SYNTH, {})), 1)
    with pytest.raises(ProbeError, match="best quotes"):
        HiddenMarkets(run.tape)


def test_what_happens_in_one_nanosecond_is_told_apart() -> None:
    """The second order of a queue is cancelled, then the first is taken, which has as much: only that one is filled."""
    orders = np.zeros(4, ORDER_EVENT_DTYPE)
    orders["exch_ns"] = orders["local_ns"] = orders["created_ns"] = (10, 20, 30, 30)
    orders["order_id"], orders["action"] = (1, 2, 2, 1), (CREATED, CREATED, DELETED, DELETED)
    orders["price_ticks"], orders["side"] = TICK, BUY
    orders["qty"] = np.array([5, 5, 0, 0]) * 100_000  # a lot is 0.001 of the base currency
    rows = np.zeros(5, rec.EVENT_DTYPE)
    rows["exch_ns"] = rows["local_ns"] = (10, 20, 30, 30, 30)
    rows["kind"], rows["side"] = (rec.DEPTH, rec.DEPTH, rec.DEPTH, rec.TRADE, rec.DEPTH), (1, 1, 1, -1, 1)
    rows["price_ticks"], rows["qty_lots"], rows["flags"] = TICK, (5, 10, 5, 5, 0), rec.LAST
    run = Run(Tape(rows, SYNTH), OrderTape(orders, SYNTH, {}), 0, 40)
    fates = fates_of(run, 1)
    assert [(one.id, one.front, one.ended, one.fills) for one in fates.probes] == [
        (1, 0, FILLED, ((30, 5),)),
        (2, 5, CANCELLED, ()),
    ]
    assert fates.quotes[:, :3].tolist() == [[10, TICK, 5], [20, TICK, 10], [30, 0, 0]]
    merged = levels_and_prints(run.tape).events
    assert merged[["exch_ns", "kind", "qty_lots", "flags"]].tolist() == [
        (10, rec.DEPTH, 5, 1), (20, rec.DEPTH, 10, 1), (30, rec.TRADE, 5, 1), (30, rec.DEPTH, 0, 1),
    ]  # fmt: skip


def test_who_cancelled_by_hand() -> None:
    counts = Cancellations()
    counts.note(0, [10, 30, 60], 2)  # the second order, 10 of 70 others before it: the one behind leaves
    counts.note(0, [10, 30, 60], 0)  # it again, and the one before it leaves; then the third has none behind
    counts.note(20, [30, 50], 1)  # 20 older ones before, nobody knows whose: 20 of 70
    assert counts.to_json() == [
        {"orders": 2, "before_it": pytest.approx(1 / 7), "cancelled_before_it": 0.5},
        {"orders": 1, "before_it": pytest.approx(2 / 7), "cancelled_before_it": 0.0},
    ]


# -- the built-in flow -------------------------------------------------------------------------------------------------


def fates_of(run: Run, every: int, watch_ns: int = WATCH_NS) -> Fates:
    return read_exchange_orders(
        run.orders, run.tape, run.begin_ns, run.end_ns, lambda n: n % every == 0 or n in run.places, watch_ns
    )


@pytest.fixture(scope="module")
def at_once() -> Run:
    return run_exchange(ReactiveFlow(), seed=5, span_ns=SPAN_NS)


@pytest.fixture(scope="module")
def batched() -> Run:
    return run_exchange(ReactiveFlow(), seed=5, span_ns=SPAN_NS, depth_every_ns=BATCH_NS)


@pytest.fixture(scope="module")
def study(at_once: Run, batched: Run) -> ExchangeStudy:
    return study_runs(at_once, batched, EVERY)


def test_the_true_place_is_told_alike_by_the_exchange_and_by_its_orders(at_once: Run, study: ExchangeStudy) -> None:
    looked = [age for places in at_once.places.values() for age, _ in places]
    assert study.facts["places_told_twice"] >= len(looked) - 2  # an order may end in the moment of the look
    assert sum(age > 0 for age in looked) > 20
    assert study.mine.sum() == len(at_once.places) > 50
    assert (~study.mine).sum() > 30


def test_fronts_are_the_true_places_of_the_tape_of_orders(at_once: Run, study: ExchangeStudy) -> None:
    unit = int(SYNTH.lot_size * 10**8)
    lived = [one for one in study.probes if one.fronts and one.front][:40]
    assert len(lived) == 40
    for one in lived:
        ages = [0, *(age for age, _ in one.fronts)]
        places = true_places(at_once.orders, one.id, [one.entry_ns + age for age in ages])
        assert places.tolist() == [unit * lots for lots in (one.front, *(lots for _, lots in one.fronts))]


def test_best_quotes_from_orders_are_those_that_the_exchange_published(at_once: Run, batched: Run) -> None:
    quotes = fates_of(at_once, EVERY).quotes
    for run in (at_once, batched):
        rows = run.tape.events[run.tape.events["kind"] == rec.BBO]
        assert (rows["side"][::2] == BUY).all()
        told = np.column_stack(
            [rows["exch_ns"][::2], *(rows[c][k::2] for k in (0, 1) for c in ("price_ticks", "qty_lots"))]
        )
        told = told[np.append(np.diff(told[:, 0]) > 0, True)]  # the last of each moment
        last = quotes[np.searchsorted(quotes[:, 0], told[:, 0], side="right") - 1]
        assert (last[:, [1, 2, 5, 6]] == told[:, 1:]).all()
        moments = np.unique(quotes[np.append(True, (np.diff(quotes[:, [1, 2, 5, 6]], axis=0) != 0).any(axis=1)), 0])
        assert np.isin(moments, told[:, 0]).all()


def test_levels_at_once_are_the_sums_of_the_orders(at_once: Run) -> None:
    fates = fates_of(at_once, 1, watch_ns=10 * SPAN_NS)
    rows = at_once.tape.events[at_once.tape.events["kind"] == rec.DEPTH]
    rows = rows[rows["exch_ns"] > at_once.begin_ns]
    busiest: dict[tuple[int, int], list[Probe]] = {}
    for one in fates.probes:
        busiest.setdefault((one.side, one.tick), []).append(one)
    for (side, tick), here in sorted(busiest.items(), key=lambda item: -len(item[1]))[:5]:
        level = rows[(rows["side"] == side) & (rows["price_ticks"] == tick)]
        total = sum(one.left_at(level["exch_ns"]) for one in here)
        older = level["qty_lots"] - total  # orders from before the first probe can only become less
        assert (older >= 0).all()
        assert (np.diff(older) <= 0).all()
        assert older[-1] == 0 or len(level) < 50


def test_only_the_order_is_missing_and_quotes_are_those_without_it(
    at_once: Run, batched: Run, study: ExchangeStudy
) -> None:
    whole = Market.compile(levels_and_prints(at_once.tape))
    hidden = HiddenMarkets(levels_and_prints(at_once.tape))
    quoted = HiddenMarkets(levels_and_prints(batched.tape), batched=True, quotes=fates_of(at_once, EVERY).quotes)
    alone = 0
    for one in [*study.probes[::7], *(one for one in study.probes if one.front == 0 and one.fills)][:60]:
        until = min(one.end_ns, one.entry_ns + 2 * S)
        market, late = hidden.without(one, until), quoted.without(one, until)
        for stamp in np.linspace(one.entry_ns, until - 1, 25).astype(np.int64).tolist():
            cursors = [int(np.searchsorted(each.exch.ns, stamp, side="right")) for each in (whole, market, late)]
            full, without = (
                level_qty(each.exch_view[0], one.side, one.tick, cursor)
                for each, cursor in zip((whole, market), cursors, strict=False)
            )
            assert without == full - int(one.left_at(np.array([stamp]))[0])
            alone += without == 0 and full > 0
            for read in (best_bid, best_bid_qty, best_ask, best_ask_qty):
                assert read(late.exch_view[0], cursors[2]) == read(market.exch_view[0], cursors[1]), (one, read)
    assert alone > 10


def test_pessimist_and_optimist_bracket_the_truth(study: ExchangeStudy) -> None:
    played = study.played[AT_ONCE]
    low, high = NAMES.index("risk_averse"), NAMES.index("optimistic")
    assert played.placed.all()
    apart = 0
    for n, one in enumerate(study.probes):
        assert played.filled[n, low] <= one.filled <= played.filled[n, high]
        for k, age in enumerate(AGES_NS):
            if age in dict(one.fronts):
                assert played.fronts[n, high, k] <= dict(one.fronts)[age] <= played.fronts[n, low, k]
                apart += played.fronts[n, high, k] < played.fronts[n, low, k]
        if one.front == 0:
            assert (played.filled[n] == one.filled).all()
            assert one.ended != FILLED or (played.done_ns[n] == one.end_ns).all()
    assert apart > 10
    assert sum(one.ended == FILLED for one in study.probes) > 10


def test_batches_make_fronts_worse_and_groups_are_scored(study: ExchangeStudy) -> None:
    scores = study.scores(100)
    rmse = [scores[feed]["regimes"]["all"]["models"]["power3 n=3"]["front"][0]["rmse"] for feed in FEEDS]
    assert rmse[0] < rmse[1]
    one = scores[AT_ONCE]["regimes"]
    assert one["of the member"]["truth"]["probes"] == study.mine.sum()
    assert one["of the flow"]["truth"]["probes"] + study.mine.sum() == len(study.probes)
    plain = score(study.probes, study.played[AT_ONCE], 10 * S, 100)
    assert {name: one[name] for name in plain["regimes"]} == plain["regimes"]


def test_a_run_is_a_function_of_its_seed() -> None:
    runs = [run_exchange(ReactiveFlow(), seed, 3 * S) for seed in (7, 7, 8)]
    assert runs[0].places == runs[1].places
    assert runs[0].orders.digest == runs[1].orders.digest != runs[2].orders.digest


def test_orders_that_live_long_are_left_standing(at_once: Run) -> None:
    fates = fates_of(at_once, 40, watch_ns=2 * S)
    assert max(one.end_ns - one.entry_ns for one in fates.probes) == 2 * S
    assert {len(one.fronts) for one in fates.probes} == {0, 1}
    left = [one for one in fates.probes if one.end_ns - one.entry_ns == 2 * S]
    assert {one.ended for one in left} == {OPEN}


# -- command -----------------------------------------------------------------------------------------------------------


def test_the_command_plays_an_exchange(tmp_path: Path) -> None:
    app = typer.Typer()
    add_to(app)
    page = tmp_path / "page.html"
    words = ["--exchange", "--seed", "3", "--minutes", "0.1", "--every", "500", "--resamples", "100"]
    done = CliRunner().invoke(app, [*words, "--json", "--out", str(page)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result["feeds"]) == set(FEEDS)
    assert result["command"].endswith(" ".join(words))
    assert set(result["feeds"][BATCHED]["regimes"]["of the member"]["models"]) == set(NAMES)
    text = page.read_text(encoding="utf-8")
    assert "What the feed costs" in text
    assert all(feed in text for feed in FEEDS)
    plain = CliRunner().invoke(app, words)
    assert plain.exit_code == 0
    assert "the feeds compared" in plain.output
    both = CliRunner().invoke(app, ["--exchange", "--recording", str(page)])
    assert isinstance(both.exception, ExperimentError)
