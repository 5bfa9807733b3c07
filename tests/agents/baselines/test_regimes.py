"""Goal: the FSM goes where its table says, and no further; whoever routes by it does what the regime permits.

Method: a table of transitions written by hand; a plain scalar machine, lane by lane, on random walks; the router on
`Router-v0`.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lobgym.agents.baselines.regimes import NO_REGIME, Axis, RegimeFSM, regime_name
from lobgym.agents.baselines.routing import (
    PROFILES,
    RegimePolicy,
    RegimeReader,
    RegimeRouter,
    profile_codes,
    profile_of,
    regime_pool,
)
from lobgym.agents.errors import PolicyError
from lobgym.envs.router_vector import RouterVectorEnv
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ROUTER_COLUMNS, ObservationLayout
from lobgym.sim.tape import open_tape

AXES = (Axis(1.0, 3.0, 0.2), Axis(2.0, 4.0, 0.5), Axis(-1.0, 1.0, 0.1))
MID = 600_000.0

# (volatility, spread, trend), then the regime after it, for a machine that believes what it sees twice in a row.
TABLE = [
    ((0.5, 1.0, 0.0), "calm-deep-none"),  # the first is believed at once
    ((1.1, 1.0, 0.0), "calm-deep-none"),  # past the edge, within the margin: nothing
    ((1.1, 1.0, 0.0), "calm-deep-none"),
    ((1.3, 1.0, 0.0), "calm-deep-none"),  # beyond the margin: seen once
    ((1.1, 1.0, 0.0), "calm-deep-none"),  # and forgotten
    ((1.3, 1.0, 0.0), "calm-deep-none"),
    ((1.3, 1.0, 0.0), "normal-deep-none"),  # seen twice
    ((0.9, 1.0, 0.0), "normal-deep-none"),  # below the edge, within the margin
    ((3.3, 1.0, 0.0), "normal-deep-none"),
    ((3.3, 4.6, 0.0), "normal-deep-none"),  # another candidate: counted anew
    ((3.3, 4.6, 0.0), "wild-thin-none"),
    ((0.5, 1.0, 2.0), "wild-thin-none"),
    ((0.5, 1.0, 2.0), "calm-deep-rising"),  # three axes, two buckets each, at once
    ((0.5, 1.0, -2.0), "calm-deep-rising"),
    ((0.5, 1.0, -2.0), "calm-deep-falling"),
]


def test_the_table_of_transitions() -> None:
    fsm = RegimeFSM(AXES, dwell=2)
    fsm.reset(1)
    for values, wanted in TABLE:
        fsm.step(np.array([values]))
        assert regime_name(int(fsm.regime[0])) == wanted, values
    names = [(one.step, regime_name(one.before), regime_name(one.after)) for one in fsm.log]
    assert names == [
        (0, "none yet", "calm-deep-none"),
        (6, "calm-deep-none", "normal-deep-none"),
        (10, "normal-deep-none", "wild-thin-none"),
        (12, "wild-thin-none", "calm-deep-rising"),
        (14, "calm-deep-rising", "calm-deep-falling"),
    ]
    # 1.3 lies 0.3 beyond the edge, two margins are 0.4: all else is surer.
    assert fsm.log[1].confidence == pytest.approx(0.75)
    assert fsm.log[0].to_json()["after_name"] == "calm-deep-none"


def test_confidence_is_nothing_on_an_edge_and_one_half_where_hysteresis_lets_go() -> None:
    fsm = RegimeFSM(AXES, dwell=1)
    fsm.reset(4)
    fsm.step(np.array([[1.0, 0.5, 0.0], [1.2, 0.5, 0.0], [1.4, 0.5, 0.0], [9.0, 9.0, 9.0]]))
    assert fsm.confidence == pytest.approx([0.0, 0.5, 1.0, 1.0])


class Scalar:
    """One lane, in plain Python, written from the description."""

    def __init__(self, dwell: int) -> None:
        self.dwell, self.regime, self.pending, self.seen = dwell, NO_REGIME, NO_REGIME, 0

    def step(self, values: tuple[float, ...]) -> int:
        buckets = []
        for place, (axis, value) in enumerate(zip(AXES, values, strict=True)):
            if self.regime == NO_REGIME:
                bucket = 0 if value < axis.low else 1 if value < axis.high else 2
            else:
                bucket = self.regime // (9, 3, 1)[place] % 3
                while bucket < 2 and value - (axis.low, axis.high)[bucket] >= axis.margin:
                    bucket += 1
                while bucket > 0 and value - (axis.low, axis.high)[bucket - 1] < -axis.margin:
                    bucket -= 1
            buckets.append(bucket)
        wanted = buckets[0] * 9 + buckets[1] * 3 + buckets[2]
        if wanted == self.regime:
            self.pending, self.seen = NO_REGIME, 0
            return self.regime
        self.seen = self.seen + 1 if wanted == self.pending else 1
        self.pending = wanted
        if self.regime == NO_REGIME or self.seen >= self.dwell:
            self.regime, self.pending, self.seen = wanted, NO_REGIME, 0
        return self.regime


@pytest.mark.parametrize("dwell", [1, 2, 5])
def test_lanes_are_lone_scalar_machines(dwell: int) -> None:
    rng = np.random.Generator(np.random.PCG64(dwell))
    walks = np.cumsum(rng.normal(0.0, 0.35, (400, 6, 3)), axis=0) + np.array([2.0, 3.0, 0.0])
    fsm, lone = RegimeFSM(AXES, dwell), [Scalar(dwell) for _ in range(6)]
    fsm.reset(6)
    changes = 0
    for row in walks:
        before = fsm.regime.copy()
        found = fsm.step(row)
        assert found.tolist() == [one.step(tuple(values)) for one, values in zip(lone, row, strict=True)]
        changes += int((found != before).sum())
    assert len(fsm.log) == changes > 50
    assert len({one.after for one in fsm.log}) > 15


def test_no_regime_lasts_shorter_than_its_dwell() -> None:
    rng = np.random.Generator(np.random.PCG64(9))
    fsm = RegimeFSM(AXES, dwell=4)
    fsm.reset(1)
    for row in rng.normal(2.0, 3.0, (400, 1, 3)):
        for _ in range(int(rng.integers(1, 8))):
            fsm.step(row)
    steps = [one.step for one in fsm.log]
    assert len(steps) > 50
    assert min(np.diff(steps)) == 4


def test_mistakes_are_named() -> None:
    with pytest.raises(PolicyError, match="low < high"):
        Axis(1.0, 1.0, 0.1)
    with pytest.raises(PolicyError, match="half their distance"):
        Axis(1.0, 2.0, 0.6)
    with pytest.raises(PolicyError, match="dwell"):
        RegimeFSM(AXES, dwell=0)
    fsm = RegimeFSM(AXES)
    fsm.reset(2)
    with pytest.raises(PolicyError, match=r"shape \[2, 3\]"):
        fsm.step(np.zeros((3, 3)))


# -- routing -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth:volatile?seed=3&minutes=6"))


def test_every_regime_has_the_profile_of_its_description() -> None:
    for volatility, liquidity, trend in product(range(3), repeat=3):
        name = PROFILES[profile_of(volatility * 9 + liquidity * 3 + trend)].name
        if volatility == 2 and liquidity == 2:
            assert name == "stand-aside"
        elif volatility < 2 and trend != 1:
            assert name == ("with-rise" if trend == 2 else "with-fall")
        else:
            assert name == ("wide" if volatility == 2 or liquidity == 2 else "tight")


@pytest.mark.parametrize("kind", ["grid", "maker", "target"])
def test_profiles_fit_every_desk(market: Market, kind: str) -> None:
    spec = DeskSpec.for_market(market, kind)
    rows = {one.name: profile_codes(spec, MID, one, one.size_low) for one in PROFILES}
    spec.action.check_codes(np.array(list(rows.values())))
    assert rows["stand-aside"] == spec.idle_codes
    if kind == "target":
        assert [spec.targets[rows[name][0]] for name in ("tight", "with-rise", "with-fall")] == [0.0, 0.5, -0.5]
    else:
        table = spec.spacing_ticks if kind == "grid" else spec.offset_ticks
        assert table[rows["tight"][0]] < table[rows["with-rise"][0]] < table[rows["wide"][0]]
    if kind == "maker":
        assert rows["with-rise"][:2] == rows["with-fall"][1::-1]
        assert rows["with-rise"][0] < rows["with-rise"][1]
    with pytest.raises(PolicyError, match="execution"):
        profile_codes(DeskSpec.for_market(market, "execution"), MID, PROFILES[0], 0)


def test_the_reader_turns_columns_back_into_quantities() -> None:
    layout = ObservationLayout(("natr_60", "spread", "return_60s"))
    natr, spread, moved = 2.0, 0.5, -21.0
    row = np.array([[natr / (1 + natr), spread / (1 + spread), moved / (7 + abs(moved))]], np.float32)
    assert RegimeReader(layout).read(row)[0] == pytest.approx([natr, spread, moved / natr], rel=1e-5)


def test_the_router_acts_on_router_v0(market: Market) -> None:
    spec = DeskSpec.for_market(market, "grid")
    layout = ObservationLayout(ROUTER_COLUMNS)
    axes = (Axis(0.55, 0.7, 0.01), Axis(0.02, 0.03, 0.001), Axis(-3.0, 3.0, 0.3))
    env = RouterVectorEnv("grid", market, 4, pool=regime_pool(spec, MID), macro_steps=10, horizon=20)
    router = RegimeRouter(layout, axes)
    router.reset(4)
    observations, _ = env.reset(seed=5)
    seen = set()
    for _ in range(20):
        choices = router.act(observations)
        assert choices.tolist() == [profile_of(int(regime)) for regime in router.fsm.regime]
        seen |= set(choices.tolist())
        observations, _, _, _, _ = env.step(choices)
    env.close()
    assert len(seen) > 1
    assert len(router.fsm.log) > 4


def test_the_policy_below_holds_its_profile_and_sizes_by_confidence(market: Market) -> None:
    spec = DeskSpec.for_market(market, "grid")
    policy = RegimePolicy(spec, MID, AXES, dwell=1, macro_steps=3)
    policy.reset(1)
    names = spec.layout.names

    def observe(natr: float, spread: float, moved: float) -> np.ndarray:
        row = np.zeros((1, spec.layout.size), np.float32)
        row[0, names.index("natr_14")] = natr / (1.0 + natr)
        row[0, names.index("spread")] = spread / (1.0 + spread)
        row[0, names.index("return_30s")] = moved / (5.0 + abs(moved))
        return row

    calm, wild, unsure = observe(0.2, 0.5, 0.0), observe(9.0, 9.0, 0.0), observe(1.3, 0.5, 0.0)
    rows = (calm, wild, wild, wild, unsure, unsure, unsure)
    codes = [spec.action.decode(policy.act(row))[0].tolist() for row in rows]
    tight = PROFILES[1]
    assert codes[0] == codes[1] == codes[2] == list(profile_codes(spec, MID, tight, 2))
    assert codes[3] == codes[4] == codes[5] == list(spec.idle_codes)
    assert codes[6] == list(profile_codes(spec, MID, tight, 1))  # a confidence of 0.75 in a band of two
    assert [regime_name(one.after) for one in policy.fsm.log] == [
        "calm-deep-none",
        "wild-thin-none",
        "normal-deep-none",
    ]


def test_a_lane_of_a_batch_is_a_lone_lane(market: Market) -> None:
    spec = DeskSpec.for_market(market, "maker")
    noise = np.random.default_rng(2).uniform(-0.9, 0.9, (30, 4, spec.layout.size)).astype(np.float32)
    policy = RegimePolicy(spec, MID, AXES, dwell=2, macro_steps=2)
    policy.reset(4)
    batch = [policy.act(row) for row in noise]
    for lane in range(4):
        policy.reset(1)
        for step, row in enumerate(noise):
            assert np.array_equal(policy.act(row[lane : lane + 1]), batch[step][lane : lane + 1])
