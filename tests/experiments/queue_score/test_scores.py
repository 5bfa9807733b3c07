"""Goal: probes have the fates that their orders had, fronts are the true ones, and scores say what they claim.

Method: recordings written by a plain book that knows every fate (`queue_logs`), one of them worked out by hand for
every queue model; Kaplan and Meier's own kind of example from the literature; brackets that hold for any recording.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lobgym.experiments.cli.queues import RECORDING, add_to
from lobgym.experiments.queue_score import (
    CANCELLED,
    FILLED,
    MODELS,
    OPEN,
    HiddenMarkets,
    Probe,
    ProbeError,
    Recorded,
    play,
    read_bitstamp_orders,
    score,
)
from lobgym.experiments.queue_score.probes import AGES_NS
from lobgym.experiments.queue_score.survival import sup_distances, survival
from lobgym.sim import records as rec
from lobgym.sim.importers.bitstamp import import_bitstamp
from lobgym.sim.tape import Tape
from lobgym.sim.view import level_qty
from tests.experiments.queue_score.queue_logs import UNIT, Venue, by_chance, by_hand
from tests.recordings import FOLDER
from tests.sim.importers import files as f

START_NS = f.MS0 * 1_000_000
LOG = FOLDER / RECORDING
NAMES = [model.name for model in MODELS]


def recorded_of(venue: Venue, folder: Path) -> Recorded:
    return read_bitstamp_orders(f.write_lines(folder / "feed.log", venue.lines))


def ms(stamp: int) -> int:
    """Milliseconds from the start; messages of one millisecond are a nanosecond apart."""
    return (stamp - START_NS) // 1_000_000


def probe(**changes: object) -> Probe:
    plain: dict[str, object] = {
        "id": 7, "side": 1, "tick": 100, "qty": 5, "entry_ns": 10, "front": 3, "end_ns": 30, "ended": CANCELLED,
    }  # fmt: skip
    return Probe(**{**plain, **changes})  # type: ignore[arg-type]


# -- truth -------------------------------------------------------------------------------------------------------------


def assert_fates(venue: Venue, recorded: Recorded) -> None:
    found = {one.id: one for one in recorded.probes}
    assert sorted(found) == sorted(venue.orders)
    for number, real in venue.orders.items():
        one = found[number]
        assert (one.side, one.tick, one.qty, one.front) == (real.side, real.cents, real.qty, real.front)
        assert ms(one.entry_ns) == real.entry_ms
        assert [(ms(stamp), lots) for stamp, lots in one.fills] == real.fills
        assert one.ended == {"filled": FILLED, "cancelled": CANCELLED, "open": OPEN}[real.ended]
        assert real.ended == "open" or ms(one.end_ns) == real.end_ms
        lived = [age for age in AGES_NS if one.entry_ns + age < one.end_ns]
        expected = [(age, venue.front_at(number, real.entry_ms + age // 1_000_000)) for age in lived]
        assert list(one.fronts) == expected


def test_the_fates_worked_out_by_hand(tmp_path: Path) -> None:
    recorded = recorded_of(by_hand(), tmp_path)
    a, b, c, last = recorded.probes
    assert [(one.front, one.qty, one.ended) for one in (a, b, c, last)] == [
        (0, 4 * UNIT, FILLED), (4 * UNIT, 2 * UNIT, CANCELLED), (6 * UNIT, 2 * UNIT, CANCELLED), (0, UNIT, OPEN),
    ]  # fmt: skip
    assert [lots for _, lots in a.fills] == [3 * UNIT, UNIT]
    assert [lots for _, lots in b.fills] == [UNIT]
    assert b.fronts == ((1_000_000_000, 4 * UNIT), (10_000_000_000, 4 * UNIT))
    assert recorded.facts["fills_of_orders_not_first_in_their_queue"] == 0
    assert recorded.facts["fills_of_probes_without_a_print"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_fates_and_fronts_are_those_of_a_plain_book(seed: int, tmp_path: Path) -> None:
    venue = by_chance(seed)
    recorded = recorded_of(venue, tmp_path)
    assert_fates(venue, recorded)
    assert recorded.facts["fills_of_orders_not_first_in_their_queue"] == 0
    assert sum(one.front > 0 for one in recorded.probes) > 50
    assert sum(bool(one.fills) for one in recorded.probes) > 20
    assert recorded.facts["cancellations"]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_made(seed: int, tmp_path: Path) -> None:
    """Displayed lots are the sums of the orders at every stamp, and prints are the fills, side for side."""
    venue = by_chance(seed)
    recorded = recorded_of(venue, tmp_path)
    events = recorded.tape.events
    rows = events[(events["kind"] == rec.DEPTH)]
    for side, tick in {(one.side, one.tick) for one in recorded.probes}:
        level = rows[(rows["side"] == side) & (rows["price_ticks"] == tick)]
        total = sum(one.left_at(level["exch_ns"]) for one in recorded.probes if (one.side, one.tick) == (side, tick))
        assert (level["qty_lots"] == total).all()
    trades = events[events["kind"] == rec.TRADE]
    assert [tuple(row) for row in trades[["side", "price_ticks", "qty_lots"]].tolist()] == [
        one[1:] for one in venue.prints
    ]
    assert trades["qty_lots"].sum() == sum(one.filled for one in recorded.probes)


def test_what_is_displayed_from_the_beginning_stands_before_all(tmp_path: Path) -> None:
    venue = Venue()
    venue.lines.append(f.order(10, "created", 101, "bid", "90.00", "0.50000000"))
    venue.lines.append(f.picture(20, [("90.00", "1.50000000")], [("110.00", "1.00000000")]))
    venue.lines.append(f.order(30, "deleted", 7, "bid", "90.00", "0.25000000"))
    venue.lines.append(f.picture(40, [("90.00", "1.25000000"), ("80.00", "2.00000000")], [("110.00", "1.00000000")]))
    venue.lines.append(f.order(2_000, "deleted", 101, "bid", "90.00", "0.50000000"))
    (one,) = recorded_of(venue, tmp_path).probes
    assert (one.front, one.fronts) == (UNIT, ((1_000_000_000, 75 * UNIT // 100),))


def test_an_order_behind_some_that_come_into_view_is_no_probe(tmp_path: Path) -> None:
    venue = Venue()
    venue.lines.append(f.order(10, "created", 101, "bid", "80.00", "0.50000000"))
    venue.lines.append(f.order(11, "created", 102, "bid", "90.00", "0.50000000"))
    venue.lines.append(f.picture(20, [("90.00", "1.50000000"), ("80.00", "2.00000000")], [("110.00", "1.00000000")]))
    recorded = recorded_of(venue, tmp_path)
    assert [one.id for one in recorded.probes] == [102]
    assert recorded.facts["orders_behind_some_that_came_into_view_later"] == 1


def test_an_order_that_takes_first_is_no_probe(tmp_path: Path) -> None:
    venue = Venue()
    venue.submit(10, -1, 100_00, UNIT)
    venue.lines.append(f.order(20, "created", 200, "bid", "100.00", "3.00000000"))
    venue.lines.append(f.order(21, "deleted", 101, "ask", "100.00", "0.00000000"))
    venue.lines.append(f.order(22, "changed", 200, "bid", "100.00", "2.00000000"))
    venue.lines.append(f.trade(23, 900, 100.0, 1.0))
    recorded = recorded_of(venue, tmp_path)
    assert [one.id for one in recorded.probes] == [101]
    assert recorded.facts["orders_displayed_after_they_took"] == 1
    assert recorded.probes[0].ended == FILLED


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"side": 0}, "side must be 1 or -1"),
        ({"end_ns": 9}, "must follow each other"),
        ({"fills": ((12, 6),)}, "no more than the order"),
        ({"fills": ((12, 5),)}, "if and only if"),
        ({"ended": FILLED}, "if and only if"),
        ({"ended": "lost"}, "ended must be"),
        ({"fronts": ((1, 2), (2, 3))}, "no more may come"),
        ({"fronts": ((1, 4),)}, "no more may come"),
    ],
)
def test_a_probe_that_contradicts_itself_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ProbeError, match=says):
        probe(**changes)


def test_what_is_left_of_an_order_at_each_stamp() -> None:
    one = probe(fills=((12, 1), (20, 3)))
    assert one.left_at(np.array([9, 10, 12, 19, 20, 29, 30])).tolist() == [0, 5, 4, 4, 1, 1, 0]


# -- markets without an order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_only_the_order_is_missing(seed: int, tmp_path: Path) -> None:
    """At every message of its life each level displays what the other orders make of it."""
    venue = by_chance(seed, actions=150)
    recorded = recorded_of(venue, tmp_path)
    markets = HiddenMarkets(recorded.tape)
    for one in recorded.probes[5::6]:
        market = markets.without(one, one.end_ns)
        for at, state in venue.history:
            stamp = START_NS + at * 1_000_000 + 999_999
            if not one.entry_ns <= stamp < one.end_ns:
                continue
            cursor = int(np.searchsorted(market.exch.ns, stamp, side="right"))
            for (side, tick), queue in state.items():
                expected = sum(left for number, left in queue if number != one.id)
                assert level_qty(market.exch_view[0], side, tick, cursor) == expected


def test_an_order_that_its_tape_does_not_show_is_refused(tmp_path: Path) -> None:
    recorded = recorded_of(by_hand(), tmp_path)
    markets, one = HiddenMarkets(recorded.tape), recorded.probes[1]
    wrong = Probe(one.id, one.side, one.tick, 9 * UNIT, one.entry_ns, one.front, one.end_ns, CANCELLED)
    with pytest.raises(ProbeError, match="displays less than it"):
        markets.without(wrong, one.end_ns)
    events = recorded.tape.events.copy()
    events["exch_ns"] = events["local_ns"] = events["exch_ns"] // 10_000_000_000 * 10_000_000_000
    with pytest.raises(ProbeError, match="share the stamp"):
        HiddenMarkets(Tape(events, recorded.tape.instrument))


# -- probes played -----------------------------------------------------------------------------------------------------

# Order B of `by_hand`: 4 before it, 2 behind it; 2 are cancelled. Below, the share of them that each model takes off
# the front: f = 2/3 of the level before it, b = 1/3 behind. 5 are sold after that, so 5 - front reach B, which has 2.
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
    "log": math.log(5) / (math.log(5) + math.log(3)),
    "log2": 1 - math.log(3) / math.log(7),
    "optimistic": 1.0,
}


def test_every_model_does_what_was_worked_out_by_hand(tmp_path: Path) -> None:
    recorded = recorded_of(by_hand(), tmp_path)
    played = play(HiddenMarkets(recorded.tape), recorded.probes)
    assert played.placed.all()
    assert played.away.tolist() == [-10_00, 0, 0, -9_00]
    assert set(SHARES) == set(NAMES)
    for m, name in enumerate(NAMES):
        front = 4 - SHARES[name] * 2
        reaches = min(2.0, 5 - front)
        assert played.filled[1, m] == pytest.approx(reaches * UNIT, abs=40), name
        assert (played.done_ns[1, m] >= 0) == (5 - front >= 2), name
        assert played.fronts[1, m, 0] == 4 * UNIT  # before the cancel
        assert played.fronts[1, m, 1] == pytest.approx(front * UNIT, abs=40), name
        assert np.isnan(played.fronts[1, m, 2:]).all()
        assert played.filled[0, m] == 4 * UNIT  # A is first, so that there is nothing to guess
        assert ms(int(played.done_ns[0, m])) == 14_001  # the message that shows A filled, not that of the print
        assert played.filled[2, m] == played.filled[3, m] == 0


@pytest.mark.parametrize("seed", range(3))
def test_pessimist_and_optimist_bracket_the_truth(seed: int, tmp_path: Path) -> None:
    recorded = recorded_of(by_chance(seed), tmp_path)
    probes = recorded.probes
    played = play(HiddenMarkets(recorded.tape), probes)
    low, high = NAMES.index("risk_averse"), NAMES.index("optimistic")
    assert played.placed.all()
    seen = 0
    for n, one in enumerate(probes):
        assert played.filled[n, low] <= one.filled <= played.filled[n, high]
        for k, age in enumerate(AGES_NS):
            if age in dict(one.fronts):
                true = dict(one.fronts)[age]
                assert played.fronts[n, high, k] <= true <= played.fronts[n, low, k]
                seen += played.fronts[n, high, k] < played.fronts[n, low, k]
        if one.front == 0:
            assert (played.filled[n] == one.filled).all()
            assert ((played.done_ns[n] >= 0) == (one.ended == FILLED)).all()
    assert seen > 20
    assert (played.filled[:, low] < played.filled[:, high]).any()


# -- figures -----------------------------------------------------------------------------------------------------------

# Freireich and others 1963, remission under 6-MP in weeks, the example of every textbook; a minus is censored.
WEEKS = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35]


def test_kaplan_and_meier_give_the_textbook_figures() -> None:
    weeks = np.array(WEEKS)
    curve = survival(np.abs(weeks).astype(float), weeks > 0, at_risk_min=1)
    assert curve.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert np.round(curve.values[0], 3).tolist() == [0.857, 0.807, 0.753, 0.69, 0.627, 0.538, 0.448]
    assert np.round(curve.at(np.array([0, 5.9, 6, 22.5, 40]))[0], 3).tolist() == [1, 1, 0.857, 0.538, 0.448]
    assert curve.until == 35


def test_a_resample_is_the_curve_of_what_it_drew() -> None:
    weeks = np.array(WEEKS * 2)
    block = np.arange(len(weeks)) % 3
    draws = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]])
    curves = survival(np.abs(weeks).astype(float), weeks > 0, block, draws)
    drawn = np.concatenate([weeks[block == 1], weeks[block == 1], weeks[block == 2]])
    for row, sample in enumerate((weeks, drawn)):
        alone = survival(np.abs(sample).astype(float), sample > 0)
        assert np.allclose(curves.at(alone.times)[row], alone.values[0])


def test_the_distance_of_two_curves() -> None:
    one = survival(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, bool), at_risk_min=1)
    other = survival(np.array([1.0, 1.0, 1.0, 4.0]), np.ones(4, bool), at_risk_min=1)
    assert sup_distances(one, other).tolist() == [0.5]
    known = survival(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, bool), at_risk_min=4)
    assert sup_distances(known, other).tolist() == [0.5]  # at 1, where all four are watched
    assert sup_distances(survival(np.ones(2), np.zeros(2, bool)), one).tolist() == [0.0]


def test_the_score_counts_what_happened(tmp_path: Path) -> None:
    recorded = recorded_of(by_hand(), tmp_path)
    result = score(recorded.probes, play(HiddenMarkets(recorded.tape), recorded.probes), resamples=100)
    assert result["default"] == "power3 n=3"
    regime = result["regimes"]["all"]
    assert (regime["truth"]["probes"], regime["truth"]["filled"], regime["truth"]["partly_filled"]) == (4, 1, 1)
    assert regime["truth"]["filled_share"] == (1 + 0.5) / 4
    for name, figures in regime["models"].items():
        false = 5 - (4 - SHARES[name] * 2) >= 2
        assert (figures["hits"], figures["late"], figures["missed"], figures["false"]) == (1, 0, 0, int(false))
        assert figures["correct"] == 1 - false / 4
        assert figures["wrong_more_than_default"] == false
        assert figures["time"]["both_filled"] == 1
        assert figures["front"][1]["orders"] == 1
        assert figures["front"][1]["mean_error"] == pytest.approx(-SHARES[name] * 2 / 4, abs=1e-6)
        assert figures["front"][1]["rmse"] == pytest.approx(SHARES[name] * 2 / 4, abs=1e-6)
    assert [result["regimes"][name]["truth"]["probes"] for name in ("behind others", "first in the queue")] == [2, 2]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    again = score(recorded.probes, play(HiddenMarkets(recorded.tape), recorded.probes), resamples=100)
    assert again == result


def test_the_interval_of_a_mean_is_that_of_its_blocks(tmp_path: Path) -> None:
    """Against a bootstrap written out: blocks drawn one by one, their probes laid end to end."""
    recorded = recorded_of(by_chance(1), tmp_path)
    played = play(HiddenMarkets(recorded.tape), recorded.probes)
    block_ns = 20_000_000_000
    result = score(recorded.probes, played, block_ns=block_ns, resamples=200, seed=5)
    blocks = np.unique([one.entry_ns // block_ns for one in recorded.probes], return_inverse=True)[1]
    count = int(blocks.max()) + 1
    assert result["blocks"] == count
    draws = np.random.default_rng(5).multinomial(count, np.full(count, 1 / count), size=200)
    share = np.array([one.filled / one.qty for one in recorded.probes])
    for m, name in enumerate(NAMES):
        figures = result["regimes"]["all"]["models"][name]
        error = played.filled[:, m] / np.array([one.qty for one in recorded.probes]) - share
        means = []
        for draw in draws:
            values = np.concatenate([error[blocks == b] for b in range(count) for _ in range(draw[b])])
            means.append(values.mean())
        if not figures["late"]:
            assert figures["filled_share_error_interval"] == pytest.approx(np.quantile(means, [0.025, 0.975]))


# -- command -----------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    app = typer.Typer()
    add_to(app)
    log = f.write_lines(tmp_path / "feed.log", by_chance(2, actions=80).lines)
    page = tmp_path / "page.html"
    words = ["--recording", str(log), "--resamples", "100", "--every", "2", "--out", str(page)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result["regimes"]["all"]["models"]) == set(NAMES)
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "Who cancels?" in text
    assert all(name in text for name in NAMES)
    plain = CliRunner().invoke(app, words[:-2])
    assert plain.exit_code == 0
    assert "behind others" in plain.output
    missing = CliRunner().invoke(app, ["--recording", str(tmp_path / "none")])
    assert "LOBGYM_RECORDINGS" in str(missing.exception)


# -- the recording -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not LOG.is_file(), reason=f"no recording {LOG} (LOBGYM_RECORDINGS names another folder)")
def test_the_recording_gives_the_importer_s_tape_and_orders_that_keep_priority() -> None:
    recorded = read_bitstamp_orders(LOG)
    facts = recorded.facts
    assert facts["fills_of_orders_not_first_in_their_queue"] == 0
    assert facts["fills_of_probes_without_a_print"] < 0.01 * facts["fills_of_probes"]
    imported, _ = import_bitstamp(LOG)
    ours, theirs = recorded.tape.events, imported.events
    assert len(ours) >= len(theirs)  # a change of less than half a lot is one here
    kinds = (rec.TRADE, rec.CLEAR)
    for name in ("price_ticks", "side", "kind"):
        assert (ours[name][np.isin(ours["kind"], kinds)] == theirs[name][np.isin(theirs["kind"], kinds)]).all()
    probes = recorded.probes[::300]
    played = play(HiddenMarkets(recorded.tape), probes)
    assert played.placed.mean() > 0.99
    first = np.array([one.front == 0 for one in probes])
    same = np.array([(played.done_ns[n] >= 0).all() == (one.ended == FILLED) for n, one in enumerate(probes)])
    assert same[first].mean() > 0.99
