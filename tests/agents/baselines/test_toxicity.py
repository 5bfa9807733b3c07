"""Goal: the throttle slows and stops where a signal says so, takes nothing else away, and closes nothing.

Method: the levels and the codes left against a plain scalar version, on random rows, for rules and for policies with
memory.
"""

from __future__ import annotations

import numpy as np
import pytest

from lobgym.agents.baselines import AdaptiveGrid, RandomCodes, make_baseline
from lobgym.agents.baselines.toxicity import TOXICITY_COLUMNS, Throttle, ThrottledRule, ToxicityLimits, throttle
from lobgym.agents.errors import PolicyError
from lobgym.agents.policy import Policy
from lobgym.sim.actions import NO_QUOTE, PAUSED
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.tape import open_tape

MID = 600_000.0
LIMITS = ToxicityLimits(vpin=(0.5, 0.7), spread_bps=(4.0, 8.0), age_s=(2.0, 5.0), imbalance=(0.8, 0.95))


@pytest.fixture(scope="module")
def specs() -> dict[str, DeskSpec]:
    market = Market.compile(open_tape("synth?minutes=1"))
    made = {}
    for kind in ("grid", "maker", "target"):
        spec = DeskSpec.for_market(market, kind)
        own = spec.layout.columns
        made[kind] = spec.replace(
            layout=ObservationLayout(own + tuple(c for c in (*TOXICITY_COLUMNS, "inventory") if c not in own))
        )
    return made


def observe(spec: DeskSpec, vpin=0.1, spread=1.0, age=0.1, imbalance=0.0, inventory=0.0) -> np.ndarray:  # type: ignore[no-untyped-def]
    row = np.zeros((1, spec.layout.size), np.float32)
    for name, value in (
        ("vpin", vpin),
        ("spread", spread / (1.0 + spread)),
        ("book_age", age / (1.0 + age)),
        ("imbalance_5", imbalance),
        ("inventory", inventory),
    ):
        row[0, spec.layout.names.index(name)] = value
    return row


class Fixed:
    """A policy with given codes."""

    name = "fixed"

    def __init__(self, spec: DeskSpec, codes: list[int]) -> None:
        self.spec, self.codes = spec, codes

    def reset(self, lanes: int, seed: int = 0) -> None:
        pass

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.spec.action.encode(np.tile(np.array(self.codes, np.int32), (len(observations), 1)))


def left(spec: DeskSpec, codes: list[int], row: np.ndarray) -> list[int]:
    return spec.action.decode(Throttle(Fixed(spec, codes), spec, LIMITS).act(row))[0].tolist()


@pytest.mark.parametrize(
    ("signal", "slow", "stop"),
    [("vpin", 0.55, 0.75), ("spread", 5.0, 9.0), ("age", 3.0, 6.0), ("imbalance", -0.9, 0.97)],
)
def test_each_signal_slows_and_stops(specs: dict[str, DeskSpec], signal: str, slow: float, stop: float) -> None:
    spec = specs["grid"]
    codes = [10, 3, 6, 2, 0]
    assert left(spec, codes, observe(spec)) == codes
    assert left(spec, codes, observe(spec, **{signal: slow})) == [12, 0, 6, 0, 0]
    assert left(spec, codes, observe(spec, **{signal: stop}))[4] == PAUSED


def test_the_worst_signal_counts_and_limits_are_included(specs: dict[str, DeskSpec]) -> None:
    spec = specs["grid"]
    rule = throttle(AdaptiveGrid(spec, MID), spec, ToxicityLimits(vpin=(0.5, 0.75)))
    assert isinstance(rule, ThrottledRule)
    rows = np.concatenate(
        [observe(spec, vpin=v, imbalance=i) for v, i in ((0.5, 0.0), (0.4999, 0.0), (0.75, 0.95), (0.6, 0.99))]
    )
    assert rule.level(rows).tolist() == [1, 0, 2, 2]


def test_a_slowed_maker_quotes_further_out_and_smaller(specs: dict[str, DeskSpec]) -> None:
    spec = specs["maker"]
    slow, stop = observe(spec, vpin=0.6), observe(spec, vpin=0.9)
    assert left(spec, [4, 13, 3, 5], slow) == [6, 13, 0, 5]
    assert left(spec, [4, NO_QUOTE, 3, 5], slow) == [6, NO_QUOTE, 0, 5]
    assert left(spec, [4, 4, 3, 5], stop) == list(spec.idle_codes)


def test_a_slowed_taker_only_reduces_and_a_stopped_one_keeps_what_it_holds(specs: dict[str, DeskSpec]) -> None:
    """Targets -1, -0.5, 0, 0.5, 1; nothing is ever closed by the throttle itself."""
    spec = specs["target"]
    for held, wanted, slowed in [
        (0.0, 4, 2),  # no new risk
        (0.5, 4, 3),
        (0.5, 3, 3),
        (1.0, 3, 3),  # less is less
        (1.0, 2, 2),  # closing is its own wish
        (1.0, 0, 4),  # turning is new risk: it keeps what it holds
        (-1.0, 1, 1),
        (-0.5, 0, 1),
    ]:
        assert left(spec, [wanted], observe(spec, vpin=0.6, inventory=held)) == [slowed], (held, wanted)
        nearest = int(np.argmin(np.abs(np.asarray(spec.targets) - held)))
        assert left(spec, [wanted], observe(spec, vpin=0.9, inventory=held)) == [nearest]


@pytest.mark.parametrize("kind", ["grid", "maker", "target"])
def test_rule_and_wrapper_agree_with_a_scalar_version(specs: dict[str, DeskSpec], kind: str) -> None:
    spec = specs[kind]
    inner = {"grid": "adaptive-grid", "maker": "fixed-maker", "target": "imbalance-taker"}[kind]
    rng = np.random.Generator(np.random.PCG64(1))
    rows = rng.uniform(-1.0, 1.0, (500, spec.layout.size)).astype(np.float32)
    names = spec.layout.names
    rows[:, names.index("vpin")] = rng.uniform(0.0, 0.8, 500)
    rows[:, names.index("spread")] = rng.uniform(0.0, 0.9, 500)
    rows[:, names.index("book_age")] = rng.uniform(0.0, 0.84, 500)
    rule, plain = make_baseline(inner, spec, MID), make_baseline(inner, spec, MID)
    wrapper = Throttle(Hidden(plain), spec, LIMITS)
    fused = throttle(rule, spec, LIMITS)
    found = spec.action.decode(fused.act(rows))
    assert np.array_equal(found, spec.action.decode(wrapper.act(rows)))
    free = spec.action.decode(plain.act(rows))
    levels = []
    for row, codes, wanted in zip(rows.astype(float), found.tolist(), free.tolist(), strict=True):
        spread, age = (row[names.index(name)] for name in ("spread", "book_age"))
        values = (
            row[names.index("vpin")],
            spread / (1 - spread),
            age / (1 - age),
            abs(row[names.index("imbalance_5")]),
        )
        level = max(
            int(v >= slow) + int(v >= stop) for v, (slow, stop) in zip(values, LIMITS.pairs.values(), strict=True)
        )
        levels.append(level)
        assert codes == scalar(spec, wanted, level, row[names.index("inventory")])
    assert wrapper.counts.tolist() == np.bincount(levels, minlength=3).tolist()
    assert min(wrapper.counts) > 20


class Hidden:
    """A rule as a policy that nobody knows to be one."""

    def __init__(self, policy: Policy) -> None:
        self.name, self.act, self.reset = policy.name, policy.act, policy.reset


def scalar(spec: DeskSpec, wanted: list[int], level: int, held: float) -> list[int]:
    """What is left of codes, from the description."""
    if level == 0:
        return wanted
    if spec.kind == "grid":
        spacing, _, skew, _, pause = wanted
        return [spacing, 0, skew, 0, PAUSED] if level == 2 else [min(spacing + 2, 14), 0, skew, 0, pause]
    if spec.kind == "maker":
        bid, ask, _, lean = wanted
        if level == 2:
            return list(spec.idle_codes)
        return [code if code == NO_QUOTE else min(code + 2, NO_QUOTE - 1) for code in (bid, ask)] + [0, lean]
    nearest = min(range(len(spec.targets)), key=lambda code: abs(spec.targets[code] - held))
    has, wants = spec.targets[nearest], spec.targets[wanted[0]]
    return wanted if level == 1 and abs(wants) <= abs(has) and has * wants >= 0 else [nearest]


def test_a_policy_with_memory_is_throttled_too(specs: dict[str, DeskSpec]) -> None:
    spec = specs["grid"]
    policy = throttle(RandomCodes(spec), spec, LIMITS)
    assert isinstance(policy, Throttle)
    policy.reset(2, seed=3)
    free = RandomCodes(spec)
    free.reset(2, seed=3)
    rows = np.concatenate([observe(spec), observe(spec, vpin=0.9)])
    for _ in range(5):
        assert np.array_equal(policy.act(rows)[0], free.act(rows)[0])
    assert policy.counts.tolist() == [5, 0, 5]


def test_mistakes_are_named(specs: dict[str, DeskSpec]) -> None:
    bare = specs["grid"].replace(layout=ObservationLayout(BARE))
    with pytest.raises(PolicyError, match="vpin"):
        throttle(AdaptiveGrid(bare, MID), bare, LIMITS)
    with pytest.raises(PolicyError, match="0 < slowed <= stopped"):
        ToxicityLimits(vpin=(0.7, 0.5))


BARE = ("natr_14", "inventory", "return_30s", "spread", "book_age")
