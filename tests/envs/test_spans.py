"""Episodes in a span that the caller gives, and lanes that each start where they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.envs import HorizonError, LobVectorEnv
from lobgym.envs.router_vector import RouterVectorEnv
from lobgym.sim.errors import LayoutError, ParamsError

TAPE = "synth?seed=4&minutes=3"
SECOND = 1_000_000_000
ARGUMENTS: dict[str, Any] = {"tape": TAPE, "horizon": 20, "spec": {"interval_ns": SECOND // 4}}


def env(**changes: Any) -> LobVectorEnv:
    return LobVectorEnv("target", num_envs=3, **{**ARGUMENTS, **changes})


def begin(**changes: Any) -> tuple[int, int]:
    market = env(**changes).core.market
    return market.start_ns, market.end_ns


def test_episodes_of_a_span_lie_wholly_within_it():
    start, _ = begin()
    low, high = start + 40 * SECOND, start + 50 * SECOND
    lanes = env(split=(low, high), test_fraction=0.9)
    seen = []
    for seed in range(40):
        seen += lanes.reset(seed=seed * 3)[1]["start_ns"].tolist()
    assert min(seen) >= low
    assert max(seen) <= high - 5 * SECOND
    assert max(seen) - min(seen) > 3 * SECOND  # drawn over all of it
    for _ in range(20):
        step = lanes.step(np.zeros(3, np.int64))
    assert step[3].all()
    assert step[4]["time_ns"].max() <= high


def test_without_a_horizon_the_span_ends_the_episode():
    start, _ = begin()
    lanes = env(split=(start, start + 7 * SECOND), horizon=None, start=start)
    lanes.reset(seed=0)
    for _ in range(28):
        step = lanes.step(np.zeros(3, np.int64))
    assert step[2].all()
    assert step[4]["end"].tolist() == ["tape_end"] * 3
    assert (step[4]["time_ns"] <= start + 7 * SECOND).all()


def test_every_lane_starts_where_it_is_told():
    start, _ = begin()
    wanted = (start + 9 * SECOND, start, start + 30 * SECOND)
    lanes = env(start=wanted)
    for seed in (0, 11):
        assert lanes.reset(seed=seed)[1]["start_ns"].tolist() == list(wanted)
    assert lanes.reset()[1]["start_ns"].tolist() == list(wanted)
    alone = LobVectorEnv("target", num_envs=1, **{**ARGUMENTS, "start": wanted[2]})
    lanes.reset(seed=[5, 6, 7])
    alone.reset(seed=7)
    for action in np.random.default_rng(0).integers(0, 5, 20):
        left, right = lanes.step(np.full(3, action)), alone.step(np.array([action]))
        np.testing.assert_array_equal(left[0][2], right[0][0])
        assert left[1][2] == right[1][0]


def test_spans_and_starts_that_make_no_sense_say_so():
    start, end = begin()
    for split in ((start - 1, end), (start, end + 1), (end, start), (start,), (start, 0.5), "tail"):
        with pytest.raises(ParamsError, match="span"):
            env(split=split)
    with pytest.raises(HorizonError, match="does not fit"):
        env(split=(start, start + SECOND))
    with pytest.raises(HorizonError, match="cannot start at"):
        env(split=(start, start + 20 * SECOND), start=(start, start, start + 19 * SECOND))
    for wrong in ((), (start, "now"), (True,), "often"):
        with pytest.raises(ParamsError, match="start must be"):
            env(start=wrong)
    with pytest.raises(ParamsError, match="give one for each"):
        env(start=(start, start)).reset(seed=0)


def test_a_router_takes_spans_too_and_shows_what_its_desk_sees():
    start, _ = begin()
    low = start + 60 * SECOND
    router = RouterVectorEnv(
        "target", TAPE, 2, macro_steps=4, horizon=3, observation=("spread", "inventory"),
        split=(low, low + 20 * SECOND), start=(low, low + SECOND),
    )  # fmt: skip
    observation, infos = router.reset(seed=0)
    assert infos["start_ns"].tolist() == [low, low + SECOND]
    np.testing.assert_array_equal(router.core.column("inventory"), observation[:, 1])
    observation, *_ = router.step(np.array([0, 4]))
    assert observation[:, 1].tolist() == router.core.column("inventory").tolist() == [-1.0, 1.0]
    with pytest.raises(LayoutError, match="vpin"):
        router.core.column("vpin")
