"""Segments and labels against plain Python: the filter's recursion, every warping path, merging one by one."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lobgym.agents.earnhft.config import TournamentSettings
from lobgym.agents.earnhft.parts import Span
from lobgym.agents.earnhft.segments import (
    cut_at_turns,
    find_segments,
    labels_of,
    low_pass,
    merge_short,
    normalised_dtw,
    slope,
)
from lobgym.agents.errors import TrainError
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape
from lobgym.sim.view import best_ask, best_bid, cursor_at

TAPE = "synth:volatile?seed=5&minutes=10"


def walk(seed: int, count: int) -> np.ndarray:
    return 60_000.0 + np.random.default_rng(seed).normal(0.0, 3.0, count).cumsum()


# -- the filter --------------------------------------------------------------------------------------------------------


def butterworth(order: int, period: float) -> tuple[list[float], list[float]]:
    """Coefficients (b, a) from the analogue poles by the bilinear transform."""
    warped = 4.0 * math.tan(math.pi / period)  # the cutoff is 2 / period of the Nyquist frequency, at rate 2
    poles = [warped * cmath.exp(1j * math.pi * (2 * k + order + 1) / (2 * order)) for k in range(order)]
    a, b = [1.0 + 0j], [1.0 + 0j]
    for pole in poles:
        digital = (4.0 + pole) / (4.0 - pole)
        a = [x - digital * y for x, y in zip([*a, 0], [0, *a], strict=True)]
        b = [x + y for x, y in zip([*b, 0], [0, *b], strict=True)]
    gain = sum(x.real for x in a) / sum(x.real for x in b)  # a constant passes unchanged
    return [gain * x.real for x in b], [x.real for x in a]


def recursion(b: list[float], a: list[float], series: list[float]) -> list[float]:
    """The difference equation, as if the first value had always been there."""
    x, y, out = [series[0]] * len(b), [series[0]] * len(a), []
    for value in series:
        x = [value, *x[:-1]]
        said = sum(bk * xk for bk, xk in zip(b, x, strict=True)) - sum(
            ak * yk for ak, yk in zip(a[1:], y[:-1], strict=True)
        )
        y = [said, *y[:-1]]
        out.append(said)
    return out


@pytest.mark.parametrize(("order", "period"), [(1, 20.0), (2, 12.0), (3, 40.0)])
def test_the_low_pass_is_a_butterworth_recursion_in_both_directions(order: int, period: float):
    prices = walk(order, 300)
    b, a = butterworth(order, period)
    pad = 3 * (order + 1)
    before = [2 * prices[0] - prices[k] for k in range(pad, 0, -1)]
    behind = [2 * prices[-1] - prices[-1 - k] for k in range(1, pad + 1)]
    forwards = recursion(b, a, [*before, *prices, *behind])
    both = recursion(b, a, forwards[::-1])[::-1][pad:-pad]
    np.testing.assert_allclose(low_pass(prices, order, period), both, rtol=0.0, atol=1e-6)


def test_the_low_pass_shifts_nothing_and_keeps_a_constant():
    hill = np.exp(-(((np.arange(201) - 100) / 15.0) ** 2)) + 7.0
    assert int(np.argmax(low_pass(hill, 2, 20.0))) == 100
    np.testing.assert_allclose(low_pass(np.full(50, 3.5), 1, 20.0), 3.5)
    with pytest.raises(TrainError, match="more than two bars"):
        low_pass(hill, 1, 2.0)


# -- cuts --------------------------------------------------------------------------------------------------------------


def test_cuts_are_where_the_sign_of_the_return_changes():
    assert cut_at_turns(np.array([1.0, 2, 3, 2, 1, 2])) == [0, 2, 4, 5]
    assert cut_at_turns(np.array([1.0, 1, 2, 2, 3, 3, 2])) == [0, 5, 6]  # flat stretches turn nothing
    assert cut_at_turns(np.full(4, 9.0)) == [0, 3]


def warping(left: Sequence[float], right: Sequence[float]) -> float:
    """The least sum over all warping paths, each tried from its end."""

    @cache
    def least(i: int, j: int) -> float:
        here = abs(left[i] - right[j])
        ways = [least(i - di, j - dj) for di, dj in ((1, 0), (0, 1), (1, 1)) if i >= di and j >= dj]
        return here + min(ways) if ways else here

    return least(len(left) - 1, len(right) - 1) / (len(left) + len(right))


@pytest.mark.parametrize("seed", range(20))
def test_dtw_is_the_best_of_all_warping_paths(seed: int):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=rng.integers(1, 12)), rng.normal(size=rng.integers(1, 12))
    assert normalised_dtw(left, right) == pytest.approx(warping(left.tolist(), right.tolist()), rel=1e-12)
    assert normalised_dtw(left, left) == 0.0


def merged(smooth: Sequence[float], cuts: Sequence[int], least: int) -> list[int]:
    """The rule as it is written: shortest first, into the nearer neighbour."""
    pieces = list(pairwise(cuts))

    def path(piece: tuple[int, int]) -> list[float]:
        low, high = piece
        return [(smooth[k] / smooth[low] - 1.0) * 1e4 for k in range(low, high + 1)]

    while len(pieces) > 1:
        lengths = [high - low for low, high in pieces]
        k = lengths.index(min(lengths))
        if lengths[k] >= least:
            break
        near = [(warping(path(pieces[k]), path(pieces[n])), n) for n in (k - 1, k + 1) if 0 <= n < len(pieces)]
        first, second = sorted((k, min(near)[1]))
        pieces[first : second + 1] = [(pieces[first][0], pieces[second][1])]
    return [pieces[0][0], *[high for _, high in pieces]]


@pytest.mark.parametrize("seed", range(12))
def test_short_segments_join_the_neighbour_that_they_resemble(seed: int):
    smooth = low_pass(walk(seed, 160), 1, 8.0)
    cuts = cut_at_turns(smooth)
    assert len(cuts) > 8
    kept = merge_short(smooth, cuts, 12)
    assert kept == merged(smooth.tolist(), cuts, 12)
    assert min(np.diff(kept)) >= 12
    assert merge_short(smooth, cuts, 10_000) == [0, 159]


def test_of_two_equally_near_neighbours_the_earlier_is_joined():
    hill = [1.0, 1.25, 1.5, 1.75, 2.0]
    smooth = np.array([*hill, *hill])  # a fall of one bar between two equal rises
    assert merge_short(smooth, [0, 4, 5, 9], 2) == merged(smooth.tolist(), [0, 4, 5, 9], 2) == [0, 5, 9]


# -- slopes and labels -------------------------------------------------------------------------------------------------


def test_the_slope_is_the_least_squares_line():
    prices = walk(3, 90)
    wanted = np.polyfit(np.arange(90), (prices / prices[0] - 1.0) * 1e4, 1)[0]
    assert slope(prices) == pytest.approx(wanted, rel=1e-9)


def test_labels_are_quantiles_of_the_slopes():
    slopes = np.random.default_rng(0).normal(size=500)
    labels = labels_of(slopes.tolist(), 5)
    assert np.bincount(labels).tolist() == [100] * 5
    ranks = slopes.argsort().argsort()
    np.testing.assert_array_equal(labels, ranks // 100)
    assert set(labels_of([1.0, 1.0, 1.0], 5)) == {4}  # nothing to tell apart: one label, and no failure
    assert labels_of([2.0, 0.0, 3.0, 1.0], 3).tolist() == [2, 0, 2, 1]  # 1 and 2 are the edges, and belong above


def test_segments_of_a_market_cover_the_span_and_know_nothing_outside_it():
    market = Market.compile(open_tape(TAPE))
    span = Span(market.start_ns + 120 * 10**9, market.start_ns + 420 * 10**9)
    settings = TournamentSettings(labels=3, segment_ns=20 * 10**9)
    found = find_segments(market, span, settings)
    assert len(found) > 4
    assert found[0].low_ns == span.low_ns
    assert 0 <= span.high_ns - found[-1].high_ns < settings.bar_ns
    assert all(a.high_ns == b.low_ns for a, b in pairwise(found))
    assert all(one.high_ns - one.low_ns >= settings.segment_ns for one in found)
    assert {one.label for one in found} == {0, 1, 2}
    by_label = [[one.slope for one in found if one.label == label] for label in range(3)]
    assert max(by_label[0]) < min(by_label[1]) <= max(by_label[1]) < min(by_label[2])
    with pytest.raises(TrainError, match="expected at least 16"):
        find_segments(market, Span(span.low_ns, span.low_ns + 5 * 10**9), settings)


def test_segments_are_what_their_parts_make_of_the_mids_as_they_arrived():
    """Each step again by the plain functions above, with bars that divide neither the span nor a segment."""
    market = Market.compile(open_tape(TAPE))
    span = Span(market.start_ns + 100 * 10**9, market.start_ns + 330 * 10**9 + 1)
    bar_ns, order, labels = 700_000_000, 2, 4
    settings = TournamentSettings(
        labels=labels, segment_ns=10 * bar_ns - 1, bar_ns=bar_ns, order=order, cutoff_ns=6 * bar_ns
    )
    book, mids = market.local_view[0], []
    for time in range(span.low_ns, span.high_ns + 1, bar_ns):
        cursor = cursor_at(book, time)
        mids.append((best_bid(book, cursor) + best_ask(book, cursor)) / 2)
    smooth = low_pass(np.array(mids), order, 6.0)
    cuts = merged(smooth.tolist(), cut_at_turns(smooth), 10)  # 9.99 bars are 10
    assert min(high - low for low, high in pairwise(cuts)) == 10
    slopes = []
    for low, high in pairwise(cuts):
        seconds = np.arange(high - low + 1) * bar_ns / 1e9
        slopes.append(float(np.polyfit(seconds, (np.array(mids[low : high + 1]) / mids[low] - 1.0) * 1e4, 1)[0]))
    found = find_segments(market, span, settings)
    assert [(one.low_ns, one.high_ns) for one in found] == [
        (span.low_ns + low * bar_ns, span.low_ns + high * bar_ns) for low, high in pairwise(cuts)
    ]
    assert [one.slope for one in found] == pytest.approx(slopes, rel=1e-6, abs=1e-9)
    ranks = np.argsort(np.argsort(slopes))
    last = len(slopes) - 1
    assert [one.label for one in found] == [
        sum(int(rank) * labels >= k * last for k in range(1, labels)) for rank in ranks
    ]
