"""Splits: every instant judged one by one, and every choice of blocks enumerated by its definition."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.studies.splits import Fold, Margin, blocks, combinatorial, histories, walk_forward

MARGINS = st.builds(Margin, st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))


def times(spans: tuple[tuple[int, int], ...]) -> set[int]:
    return {t for low, high in spans for t in range(low, high + 1)}


def allowed(t: int, tested: set[int], margin: Margin) -> bool:
    """The definition: the intervals of t and of every test sample are apart, and t is not in the echo of one."""
    own = range(t - margin.lookback_ns, t + margin.reach_ns + 1)
    for u in tested:
        other = range(u - margin.lookback_ns, u + margin.reach_ns + 1)
        if set(own) & set(other):
            return False
        if t > u and own[0] <= other[-1] + margin.embargo_ns:
            return False
    return True


def check(fold: Fold, whole: range, margin: Margin, candidates: set[int]) -> None:
    tested, learned = times(fold.test), times(fold.train)
    right = {t for t in candidates - tested if allowed(t, tested, margin)}
    # A lone instant between two gaps is no span to learn from.
    lone = {t for t in right if t - 1 not in right and t + 1 not in right}
    assert learned == right - lone
    assert tested | learned <= set(whole)


@settings(max_examples=60, deadline=None)
@given(st.integers(-50, 50), st.integers(30, 90), st.integers(2, 6), st.data())
def test_combinatorial_folds_are_all_choices_purged_as_defined(
    low: int, length: int, groups: int, data: object
) -> None:
    tests = data.draw(st.integers(1, groups - 1))  # type: ignore[attr-defined]
    margin = data.draw(MARGINS)  # type: ignore[attr-defined]
    whole = range(low, low + length)
    cut = [set(range(a, b + 1)) for a, b in blocks(low, low + length - 1, groups)]
    try:
        folds = combinatorial(low, low + length - 1, groups, tests, margin)
    except EvaluationError:
        return
    brute = [bits for bits in product((0, 1), repeat=groups) if sum(bits) == tests]
    assert {fold.groups for fold in folds} == {tuple(g for g in range(groups) if bits[g]) for bits in brute}
    assert len(folds) == len(brute)
    for fold in folds:
        assert times(fold.test) == set().union(*(cut[group] for group in fold.groups))
        check(fold, whole, margin, set(whole))


@settings(max_examples=60, deadline=None)
@given(st.integers(-50, 50), st.integers(40, 120), st.integers(1, 5), MARGINS, st.booleans())
def test_walking_forward_learns_from_the_past_alone(
    low: int, length: int, folds: int, margin: Margin, anchored: bool
) -> None:
    try:
        made = walk_forward(low, low + length - 1, folds, margin, anchored=anchored)
    except EvaluationError:
        return
    cut = blocks(low, low + length - 1, folds + 1)
    assert [fold.test for fold in made] == [(block,) for block in cut[1:]]
    for number, fold in enumerate(made):
        first = low if anchored else cut[number][0]
        check(fold, range(low, low + length), margin, set(range(first, fold.test[0][0])))


@given(st.integers(-1000, 1000), st.integers(0, 500), st.integers(1, 40))
def test_blocks_tile_the_span_evenly(low: int, length: int, count: int) -> None:
    if count > length + 1:
        with pytest.raises(EvaluationError, match="1 block"):
            blocks(low, low + length, count)
        return
    cut = blocks(low, low + length, count)
    assert [t for a, b in cut for t in range(a, b + 1)] == list(range(low, low + length + 1))
    assert max(b - a for a, b in cut) - min(b - a for a, b in cut) <= 1


def test_histories_use_every_result_once() -> None:
    """Of 6 blocks, 2 tested: 15 folds, 5 histories (the book's example)."""
    folds = combinatorial(0, 5999, 6, 2, Margin(10, 0, 5))
    assert len(folds) == 15
    paths = histories(folds, 6)
    assert len(paths) == 5
    used = [(fold, group) for path in paths for group, fold in enumerate(path)]
    assert sorted(used) == sorted((number, group) for number, fold in enumerate(folds) for group in fold.groups)
    with pytest.raises(EvaluationError, match="equally often"):
        histories(folds[:-1], 6)


def test_the_gap_has_its_exact_width() -> None:
    """Written out by hand: 10 back and 5 ahead are 15 apart, and 7 more behind a test part."""
    (fold,) = (one for one in combinatorial(0, 299, 3, 1, Margin(10, 5, 7)) if one.groups == (1,))
    assert fold == Fold(((0, 84), (222, 299)), ((100, 199),), (1,))
    assert fold.train_ns == 84 + 77


def test_what_is_no_split_is_refused() -> None:
    for groups, tests in ((3, 0), (3, 3), (40, 20)):
        with pytest.raises(EvaluationError, match="tests < groups"):
            combinatorial(0, 999, groups, tests, Margin(0))
    with pytest.raises(EvaluationError, match="nothing to learn"):
        combinatorial(0, 99, 2, 1, Margin(60))
    with pytest.raises(EvaluationError, match="nothing to learn"):
        walk_forward(0, 99, 4, Margin(30))
    with pytest.raises(EvaluationError, match="folds"):
        walk_forward(0, 99, 0)
    with pytest.raises(EvaluationError, match="at least 0"):
        Margin(-1)


def test_neighbouring_test_blocks_are_one_part() -> None:
    made = {fold.groups: fold.test for fold in combinatorial(0, 999, 5, 2, Margin(0, 0, 0))}
    assert made[0, 1] == ((0, 399),)
    assert made[0, 2] == ((0, 199), (400, 599))
    assert made[3, 4] == ((600, 999),)
