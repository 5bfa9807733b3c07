"""Goal: each generated market shows what its name says.

Method: short tapes, measured with `lobgym.sim.measures` or read row by row, against the calm market or the parameters.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import martingale_tape, planted_alpha_tape
from lobgym.sim.market import Market
from lobgym.sim.measures import Measures, measure
from lobgym.sim.params import SimParams, default_params
from lobgym.sim.scenarios import generate, read_name, scenario_params
from lobgym.sim.tape import Tape
from lobgym.sim.tape_report import inspect

S = 1_000_000_000
MINUTES = 4
TICKS_A_BP = 60


@cache
def tape_of(name: str) -> Tape:
    return generate(name)


@cache
def measured(name: str) -> Measures:
    return measure(Market.compile(tape_of(name)))


CALM = f"synth:calm?minutes={MINUTES}"


def seconds(tape: Tape) -> np.ndarray:
    return (tape.events["exch_ns"] - tape.start_ns) / S


def quotes(tape: Tape) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and ticks of every best bid that the feed said."""
    rows = (tape.events["kind"] == rec.BBO) & (tape.events["side"] == rec.BUY) & (tape.events["price_ticks"] > 0)
    return seconds(tape)[rows], tape.events["price_ticks"][rows]


def gain_bps(name: str) -> float:
    _, ticks = quotes(generate(name))
    return float(ticks[-1] - ticks[0]) / TICKS_A_BP


# -- moods -------------------------------------------------------------------------------------------------------------


def test_trends_end_where_they_lead() -> None:
    """In most of twenty seeds up and down part, by about what the drift says."""
    minutes, bps = 5, 240 * 5 / 60
    ups = [gain_bps(f"synth:trend-up?minutes={minutes}&seed={seed}") for seed in range(20)]
    downs = [gain_bps(f"synth:trend-down?minutes={minutes}&seed={seed}") for seed in range(20)]
    assert sum(one > 0 for one in ups) >= 17
    assert sum(one < 0 for one in downs) >= 17
    assert 0.6 * bps < np.mean(ups) < 1.4 * bps
    assert -1.4 * bps < np.mean(downs) < -0.6 * bps


def test_a_stronger_drift_leads_further() -> None:
    weak, strong = (gain_bps(f"synth:trend-up?minutes=2&bps_per_hour={bps}") for bps in (60, 1200))
    assert strong > weak + 25


def test_sideways_stays_within_its_range() -> None:
    """A narrow range, which the same random numbers leave without it."""
    _, ticks = quotes(tape_of(f"synth:sideways?minutes={MINUTES}&range_bps=2"))
    _, free = quotes(tape_of(f"synth:sideways?minutes={MINUTES}&range_bps=1000"))
    assert np.ptp(ticks) <= 2 * TICKS_A_BP + 40  # a taker may walk a little further
    assert np.ptp(free) > 1.5 * np.ptp(ticks)


def test_a_volatile_market_moves_three_times_as_much() -> None:
    volatile, calm = measured(f"synth:volatile?minutes={MINUTES}"), measured(CALM)
    assert volatile.volatility_1s_bps > 3 * calm.volatility_1s_bps
    assert volatile.volatility_10s_bps > 3 * calm.volatility_10s_bps
    assert volatile.trade_rate > 1.5 * calm.trade_rate


def test_a_thin_book_has_its_share_of_depth() -> None:
    """At every one of ten levels but the best at most twice the stated fifth; takers leave even less at the best."""
    thin, calm = measured(f"synth:thin-book?minutes={MINUTES}"), measured(CALM)
    assert thin.top_depth_mean_lots < 0.3 * calm.top_depth_mean_lots
    ratios = [
        thin.distributions[f"{side}_depth_{k}"].mean / calm.distributions[f"{side}_depth_{k}"].mean
        for side in ("bid", "ask")
        for k in range(2, 11)
    ]
    assert max(ratios) < 0.4


@pytest.mark.parametrize("ticks", [8, 32])
def test_a_wide_spread_is_about_as_wide_as_asked(ticks: int) -> None:
    wide, calm = measured(f"synth:wide-spread?minutes={MINUTES}&ticks={ticks}"), measured(CALM)
    assert 0.6 * ticks < wide.spread_mean_ticks < 1.6 * ticks
    assert wide.spread_mean_ticks > 4 * calm.spread_mean_ticks


# -- events ------------------------------------------------------------------------------------------------------------


def test_a_flash_crash_falls_and_comes_back_in_part() -> None:
    name = f"synth:flash-crash?minutes={MINUTES}&bps=150&fall_s=10&rise_s=30&recovery=0.5"
    tape = tape_of(name)
    at, ticks = quotes(tape)
    begin = 60 * MINUTES / 2
    before = np.median(ticks[(at > begin - 20) & (at < begin)])
    low = ticks[(at > begin) & (at < begin + 15)].min()
    after = np.median(ticks[(at > begin + 45) & (at < begin + 60)])
    fall = 150 * TICKS_A_BP
    assert 0.8 * fall < before - low < 1.4 * fall
    assert 0.3 < (after - low) / (before - low) < 0.7
    during, usual = (
        measure(Market.compile(tape.slice_time(tape.start_ns + round(a * S), tape.start_ns + round(b * S))))
        for a, b in ((begin, begin + 11), (begin - 30, begin))
    )
    assert during.trade_rate > 3 * usual.trade_rate
    assert during.top_depth_mean_lots < 0.5 * usual.top_depth_mean_lots
    assert during.spread_mean_ticks > 2 * usual.spread_mean_ticks


def test_a_halt_stops_trading_and_two_auctions_begin_it() -> None:
    tape = tape_of("synth:halt?minutes=2&seconds=20&auction_s=10")
    events, at = tape.events, seconds(tape)
    said = events["kind"] == rec.STATUS
    assert list(zip(at[said].tolist(), events["qty_lots"][said].tolist(), strict=True)) == [
        (0.0, 1), (10.0, 0), (60.0, 1), (90.0, 0),
    ]  # fmt: skip
    traded = at[events["kind"] == rec.TRADE]
    assert not ((traded >= 60.0) & (traded < 90.0)).any()
    assert not (traded < 10.0).any()
    for opening in (10.0, 90.0):  # an auction: many trades at one stamp and one price, then a book from scratch
        now = at == opening
        prices = events["price_ticks"][now & (events["kind"] == rec.TRADE)]
        assert len(prices) >= 5
        assert len(set(prices.tolist())) == 1
        assert (events["kind"][now] == rec.CLEAR).sum() == 1
        assert (events["kind"][now] == rec.SNAPSHOT).sum() > 20
    assert not ((at > 80.0) & (at < 90.0) & np.isin(events["kind"], (rec.DEPTH, rec.BBO))).any()
    report = inspect(tape)
    assert (report.halts, report.halted_s) == (2, 40.0)


def test_an_outage_is_silent_and_ends_with_a_snapshot() -> None:
    tape = tape_of("synth:outage?minutes=2&seconds=12")
    events, at = tape.events, seconds(tape)
    book = np.isin(events["kind"], (rec.DEPTH, rec.TRADE, rec.BBO, rec.CLEAR, rec.SNAPSHOT))
    silent = (at > 60.0) & (at < 72.0)
    assert not (book & silent).any()
    assert ((events["kind"] == rec.MARK) & silent).sum() == 11  # the venue goes on
    first = np.flatnonzero(book & (at >= 72.0))[0]
    assert events["kind"][first] == rec.CLEAR
    assert events["kind"][first + 1] == rec.SNAPSHOT
    assert inspect(tape).silence_s_max == pytest.approx(12.0, abs=0.2)
    assert inspect(tape_of("synth:calm?minutes=1")).silence_s_max < 1.0


def test_bad_prints_are_far_away_and_the_book_never_confirms_them() -> None:
    tape = tape_of("synth:bad-prints?minutes=2&prints=12&bps=200")
    events = tape.events
    quoted = events["price_ticks"][(events["kind"] == rec.BBO) & (events["price_ticks"] > 0)]
    prints = events[events["kind"] == rec.TRADE]
    far = (prints["price_ticks"] > quoted.max()) | (prints["price_ticks"] < quoted.min())
    away = np.minimum(abs(prints["price_ticks"] - quoted.max()), abs(prints["price_ticks"] - quoted.min()))
    bad = far & (away > 150 * TICKS_A_BP)
    assert bad.sum() == 12
    assert {1, -1} == set(np.sign(prints["price_ticks"][bad] - quoted.mean()).tolist())
    without = generate("synth:bad-prints?minutes=2&prints=12&bps=200&seed=1")
    assert without.digest != tape.digest


def test_late_fills_are_late_on_the_tape_and_in_the_rules() -> None:
    name = "synth:late-fills?minutes=2&feed_ms=300&response_ms=700"
    tape = tape_of(name)
    late_ms = (tape.events["local_ns"] - tape.events["exch_ns"]) / 1e6
    part = seconds(tape) % 30.0
    assert late_ms[(part > 12.1) & (part < 18.0)].min() >= 300.0
    assert np.quantile(late_ms[(part < 11.9) | (part > 20.0)], 0.99) < 50.0
    assert scenario_params(name) == default_params(tape) == SimParams(response_ns=700_000_000)


def test_rules_of_a_scenario_reach_the_desk_and_survive_files_and_cuts(tmp_path: object) -> None:
    tape = tape_of("synth:late-fills?minutes=2&feed_ms=300&response_ms=700")
    cut = tape.slice_time(tape.start_ns, tape.start_ns + 20 * S)
    for one in (tape, cut, Tape.load(_saved(cut, tmp_path))):
        assert DeskSpec.for_market(Market.compile(one), "grid").params.response_ns == 700_000_000
    own = DeskSpec.for_market(Market.compile(cut), "grid", params=SimParams(response_ns=1))
    assert own.params.response_ns == 1
    assert default_params(tape_of(CALM)) == scenario_params(CALM) == SimParams()


def _saved(tape: Tape, folder: object) -> str:
    path = f"{folder}/cut.parquet"
    tape.save(path)
    return path


def test_a_funding_spike_leaves_every_usual_bound() -> None:
    tape = tape_of("synth:funding-spike?minutes=2&bps=150&settlements=8")
    rows = tape.events["kind"] == rec.FUNDING
    rate_bps, at = tape.events["qty_lots"][rows] / 1e8, seconds(tape)[rows]
    spike = (at >= 60.0) & (at < 90.0)
    assert rate_bps[spike].min() > 75.0 + 50.0  # a venue lets premium and interest come to 75 bps at most
    assert abs(rate_bps[~spike]).max() <= 75.0
    assert inspect(tape).settlements == 8
    assert len(set(tape.events["seq"][rows].tolist())) == 8


# -- known answers -----------------------------------------------------------------------------------------------------


def test_the_known_answers_are_those_of_the_dealer() -> None:
    """What is earned there is measured in tests of the dealer's market; here they only have to be the same tapes."""
    assert tape_of("synth:martingale?minutes=6&seed=3") == martingale_tape(3, 0.1)
    assert tape_of("synth:planted-alpha?minutes=6&seed=3") == planted_alpha_tape(3, 0.1)
    assert tape_of("synth:planted-alpha?minutes=6&seed=3&strength=1") == planted_alpha_tape(3, 0.1, 1.0)


# -- all ---------------------------------------------------------------------------------------------------------------


def test_the_provenance_says_how_a_tape_came_about() -> None:
    tape = tape_of(CALM)
    assert tape.provenance["scenario"] == read_name(CALM).full == "synth:calm?seed=0&minutes=4"
    assert tape.provenance["params"] == {}
    assert tape.end_ns - tape.start_ns > 0.999 * 60 * MINUTES * S
