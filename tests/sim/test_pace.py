"""When steps end, against a lane that is advanced nanosecond stamp by nanosecond stamp and watched.

Method: a step's expected end is found on a clone of the session, which hops from one stamp of anything (a row of either
book, a message under way) to the next and compares what the lane knows before and after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError, TapeExhaustedError
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import ACK, CANCELLED, EXPIRED, FILL, REJECTED
from lobgym.sim.session import Session
from lobgym.sim.tape import open_tape

LANES = 3
INTERVAL = 400_000_000
VENUES = {
    "default": SimParams(),
    "instant": SimParams(entry_ns=0, response_ns=0),
    "slow": SimParams(entry_ns=50_000_000, response_ns=333_000_000),
    "jittery": SimParams(feed_delay_ns=3_000_000, feed_jitter_ns=20_000_000, response_ns=1),
}


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth:volatile?seed=8&minutes=1"))


def desk_of(market: Market, pace: str, venue: str, kind: str = "grid", **overrides: Any) -> Desk:
    values: dict[str, Any] = {"interval_ns": INTERVAL, "pace": pace, "pace_min_ns": 5_000_000}
    desk = Desk(DeskSpec.for_market(market, kind, params=VENUES[venue], **values | overrides), market, LANES)
    desk.reset(market.start_ns + np.arange(LANES) * 7_000_000_000, seed=5)
    return desk


def codes_of(desk: Desk, steps: int) -> np.ndarray:
    rng = np.random.default_rng(6)
    codes = np.stack([rng.integers(0, bins, (steps, LANES)) for bins in desk.action.bins], -1).astype(np.int32)
    if desk.spec.kind == "grid":
        codes[..., 0] //= 5
        codes[..., 4] = 0
    return codes[np.arange(steps) // 6 * 6]


def stamps_after(session: Session, market: Market, lane: int, until: int) -> np.ndarray:
    """Every stamp at which the lane may learn something: of rows, and of all that is under way or may come of it."""
    row = session.state.lane[lane]
    t_ns, back, delay = int(row["t_ns"]), int(row["response_ns"]), int(row["feed_delay_ns"])
    exch = market.exch.ns[(market.exch.ns > t_ns - back) & (market.exch.ns <= until)]
    local = market.local.ns[(market.local.ns > t_ns - delay - 10**9) & (market.local.ns <= until)]
    requests = session.state.requests[lane]["due_ns"]
    answers = session.state.responses[lane]["due_ns"]
    all_of = np.concatenate([exch, exch + back, local + delay, requests, requests + back, answers, [t_ns, until]])
    return np.unique(all_of[(all_of >= t_ns) & (all_of <= until)])


def expected_end(desk: Desk, lane: int, pace: str) -> int:
    """When the step that begins now must end; for a feed without jitter."""
    session = desk.session.clone()
    start = session.t_ns(lane)
    until = start + INTERVAL
    bests = session.bests(lane)
    everyone = session.state.lane["t_ns"].copy()
    for stamp in stamps_after(session, desk.market, lane, until):
        row = session.state.lane[lane]
        answers = session.state.responses[lane]
        size = len(answers)
        due = [answers[(int(row["response_head"]) + k) % size] for k in range(int(row["response_count"]))]
        arriving = {int(one["kind"]) for one in due if one["due_ns"] <= stamp}
        before = tuple(int(row[name]) for name in ("view_position", "view_cash", "view_fees"))
        counts = int(row["fills"]) + int(row["rejects"])
        everyone[lane] = stamp
        session.advance(everyone)
        row = session.state.lane[lane]
        if pace == "book":
            news = session.bests(lane) != bests
        else:
            news = bool(arriving & {FILL, EXPIRED, REJECTED})
            news |= before != tuple(int(row[name]) for name in ("view_position", "view_cash", "view_fees"))
            if int(row["response_ns"]) == 0:
                news |= counts != int(row["fills"]) + int(row["rejects"])
            assert not arriving or arriving <= {ACK, FILL, EXPIRED, REJECTED, CANCELLED, 6}
        if news:
            return min(max(int(stamp), start + desk.spec.pace_min_ns), until)
    return until


@pytest.mark.parametrize("venue", ["default", "instant", "slow"])
@pytest.mark.parametrize(("pace", "kind"), [("fill", "grid"), ("fill", "target"), ("book", "grid")])
def test_steps_end_when_the_lane_learns_of_it(market: Market, pace: str, kind: str, venue: str):
    desk = desk_of(market, pace, venue, kind)
    lengths = []
    for codes in codes_of(desk, 60):
        desk.plan(codes)
        desk.commit()
        clocks = desk.t_ns
        expected = [expected_end(desk, lane, pace) for lane in range(LANES)]
        desk.advance()
        assert desk.t_ns.tolist() == expected
        lengths += (desk.t_ns - clocks).tolist()
    assert min(lengths) < INTERVAL
    # An IOC is answered after the way there and back; what rests, and the book, end steps at any time.
    assert len(set(lengths)) > (1 if kind == "target" else 5)


def test_a_jittery_feed_ends_a_step_no_earlier_than_it_shows_the_change(market: Market):
    desk = desk_of(market, "book", "jittery")
    early = 0
    for codes in codes_of(desk, 60):
        desk.plan(codes)
        desk.commit()
        before = desk.session.clone()
        clocks = desk.t_ns
        desk.advance()
        for lane in range(LANES):
            end = int(desk.t_ns[lane])
            if end - int(clocks[lane]) in (INTERVAL, desk.spec.pace_min_ns):
                continue
            assert before.bests(lane) != desk.session.bests(lane)
            just_before = before.clone()
            times = clocks.copy()
            times[lane] = end - 1
            just_before.advance(times)
            assert just_before.bests(lane) == before.bests(lane)
            early += 1
    assert early > 30


@pytest.mark.parametrize("pace", ["fill", "book"])
def test_a_fused_step_equals_its_pieces_and_lanes_do_not_know_of_each_other(market: Market, pace: str):
    fused, pieces = desk_of(market, pace, "default"), desk_of(market, pace, "default")
    alone = Desk(fused.spec, market, 1)
    alone.reset(market.start_ns + 7_000_000_000, seed=6)
    for codes in codes_of(fused, 80):
        rows, result = fused.step(codes)
        pieces.plan(codes)
        pieces.commit()
        np.testing.assert_array_equal(pieces.advance(), result.ended)
        np.testing.assert_array_equal(rows, pieces.observe())
        np.testing.assert_array_equal(alone.step(codes[1:2])[0][0], rows[1])
    assert fused.session.run_digest() == pieces.session.run_digest()
    assert len(set(fused.t_ns.tolist())) == LANES


def test_a_step_must_fit_at_its_longest(market: Market):
    desk = desk_of(market, "book", "default")
    desk.reset(market.end_ns - INTERVAL + 1)
    for act in (desk.advance, lambda: desk.step(codes_of(desk, 1)[0])):
        with pytest.raises(TapeExhaustedError, match="lane 0"):
            act()
    assert (desk.t_ns == market.end_ns - INTERVAL + 1).all()


@pytest.mark.parametrize(
    ("kind", "change", "match"),
    [
        ("grid", {"pace": "tick"}, "interval, fill, book"),
        ("grid", {"pace": "fill", "pace_min_ns": INTERVAL + 1}, "longer than the longest"),
        ("grid", {"pace_min_ns": 0}, "pace_min_ns"),
        ("execution", {"pace": "fill"}, "slices of an interval"),
    ],
)
def test_paces_that_make_no_sense_are_refused(market: Market, kind: str, change: dict[str, Any], match: str):
    with pytest.raises(ParamsError, match=match):
        DeskSpec.for_market(market, kind, interval_ns=INTERVAL).replace(**change)
