"""The router: what it stores and learns from against plain formulas, what it finds where it is known, what is kept."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from lobgym.agents.earnhft import router as module
from lobgym.agents.earnhft.config import Corrections, EarnHftConfig, RouterSettings
from lobgym.agents.earnhft.network import q_values
from lobgym.agents.earnhft.parts import Parts, limit_bps_units
from lobgym.agents.earnhft.router import choose, constant_router, judge_routers, train_router, windows_of
from lobgym.agents.earnhft.tournament import AgentPool
from lobgym.envs.router import RouterEnv
from lobgym.sim.view import best_ask, best_bid, cursor_at
from tests.agents.earnhft.made import SECOND, alpha_market, config_of, constant_agent, market_of, random_agent

TARGETS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def pool_of(config: EarnHftConfig, labels: int = 3) -> AgentPool:
    agents = tuple(random_agent(seed, config.columns, TARGETS) for seed in range(4))
    members = np.random.default_rng(0).integers(4, size=(5, labels))
    return AgentPool(TARGETS, agents, members)


# -- updates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [True, False])
def test_an_update_minimises_the_published_or_the_double_error(double: bool):
    config = config_of(corrections=Corrections(double=double), hidden=12)
    learner = module._Learner(config, pool_of(config), 100)
    for parameter in learner._target.parameters():  # a target of its own
        parameter.data.mul_(-0.7).add_(0.05)
    net, target = learner.weights(), learner._target.weights(config.router_columns, TARGETS)
    rng = np.random.default_rng(5)
    rows, after = (rng.normal(size=(64, 2)).astype(np.float32) for _ in range(2))
    held, then = (rng.uniform(-1, 1, 64).astype(np.float32) for _ in range(2))
    actions, rewards = rng.integers(3, size=64), rng.normal(size=64).astype(np.float32)
    ended = (rng.random(64) < 0.3).astype(np.float32)
    best = q_values(net, after, then).argmax(axis=1)
    ahead = q_values(target, after, then)
    following = ahead[np.arange(64), best] if double else ahead.max(axis=1)
    assert (ahead.argmax(axis=1) != best).any()
    wanted = rewards + config.router.gamma * (1 - ended) * following
    error = q_values(net, rows, held)[np.arange(64), actions] - wanted
    batch = [torch.from_numpy(x) for x in (rows, held, actions, rewards, after, then, ended)]
    assert learner.update(batch, 0) == pytest.approx(float((error**2).mean()), rel=1e-4)
    moved = learner._target.weights(config.router_columns, TARGETS)
    tau = config.router.tau
    np.testing.assert_allclose(moved.w1, (1 - tau) * target.w1 + tau * learner.weights().w1, atol=1e-6)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[list[list[np.ndarray]], dict[str, Any]]:
    """What a run stored, call by call, and what it says of itself."""
    added: list[list[np.ndarray]] = []

    class Watched(module._Replay):
        def add(self, *columns: np.ndarray) -> None:
            added.append([np.array(column) for column in columns])
            super().add(*columns)

    monkeypatch.setattr(module, "_Replay", Watched)
    config = config_of(**changes)
    market = market_of()
    train_router(config, market, Parts.of(market, config), pool_of(config), folder)
    return added, msgspec.json.decode((folder / "router.json").read_bytes())


def settings(**changes: Any) -> RouterSettings:
    given = {"samples": 6, "episode_ns": 60 * SECOND, "lanes": 3, "updates_per_transition": 0.5, "batch_size": 8}
    return RouterSettings(**{**given, **changes})


def test_the_next_position_is_the_new_one_unless_the_published_error_is_asked_for(tmp_path, monkeypatch):
    right, said = run(tmp_path / "a", monkeypatch, router=settings())
    assert said["transitions"] == sum(len(call[0]) for call in right) == 6 * 6
    followed = 0
    for before, after in pairwise(right):
        if not np.array_equal(before[4], after[0]):  # another episode begins
            continue
        np.testing.assert_array_equal(before[5], after[1])
        followed += 1
    assert followed == len(right) - 2, "what comes next is where the next transition begins"
    assert any((call[1] != call[5]).any() for call in right)
    wrong, _ = run(tmp_path / "b", monkeypatch, router=settings(), corrections=Corrections(next_position=False))
    assert all(np.array_equal(call[1], call[5]) for call in wrong)


def test_the_ring_keeps_the_last_transitions_and_draws_no_others():
    """Against a list of everything."""
    rng = np.random.default_rng(2)
    ring, everything = module._Replay(7, 1), []
    for number in range(40):
        count = int(rng.integers(1, 5))
        values = 100.0 * number + np.arange(count)
        everything += values.tolist()
        ones = np.ones(count, np.float32)
        ring.add(values[:, None], values, np.arange(count), values, values[:, None], values, ones)
        assert ring.size == min(7, len(everything))
        drawn = ring.draw(200, rng)
        assert set(drawn[1].tolist()) == set(everything[-7:])
        for column in (drawn[0][:, 0], drawn[3], drawn[4][:, 0], drawn[5]):
            np.testing.assert_array_equal(column, drawn[1])


def test_the_rate_falls_with_what_is_done():
    config = config_of(router=RouterSettings(rate_first=1e-2, rate_last=2e-3))
    learner = module._Learner(config, pool_of(config), 100)
    rows = np.zeros((4, 2), np.float32)
    plain = np.zeros(4, np.float32)
    batch = [torch.from_numpy(x) for x in (rows, plain, np.zeros(4, np.int64), plain, rows, plain, plain)]
    rates = []
    for done in (0, 50, 100, 150):
        learner.update(batch, done)
        rates.append(learner._adam.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-2, 6e-3, 2e-3, 2e-3])


def watched_cores(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every router's environment that is made from here on: how it was made, its seeds, its steps."""
    made: list[Any] = []

    class Watched(module.RouterCore):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.named, self.seeds, self.made = named, [], []
            made.append(self)

        def seed(self, seeds: Any, mask: Any) -> None:
            self.seeds.append(list(seeds))
            super().seed(seeds, mask)

        def step(self, *given: Any) -> Any:
            self.made.append((np.array(given[1]), super().step(*given)))
            return self.made[-1][1]

    monkeypatch.setattr(module, "RouterCore", Watched)
    return made


def test_what_is_learnt_from_and_what_is_judged_are_parts_of_their_own(tmp_path, monkeypatch):
    cores = watched_cores(monkeypatch)
    added, _ = run(tmp_path, monkeypatch, router=settings(reward_scale=0.5))
    config, market = config_of(), market_of()
    parts = Parts.of(market, config)
    learning, *judging = cores
    assert learning.named["split"] == parts.train.bounds
    assert {core.named["split"] for core in judging} == {parts.validation.bounds}
    # An episode's seed is its own, of the two rounds of three; windows have theirs, the same for every router.
    learnt = [seed for round_ in learning.seeds for seed in round_]
    assert learnt == list(range(learnt[0], learnt[0] + 6))
    windows = len(windows_of(config, parts.validation)[0])
    for core in judging:
        (seeds,) = core.seeds
        assert len(set(seeds)) == windows
        assert seeds == seeds[:windows] * (len(seeds) // windows)
        assert not set(seeds) & set(learnt)
    # A reward is what was earned, in bps of what the limit was worth when the part began.
    spec, made = config.spec(market), market.instrument
    book = market.local_view[0]
    cursor = cursor_at(book, market.start_ns)
    mid = float(made.tick_size) * (best_bid(book, cursor) + best_ask(book, cursor)) / 2
    worth = float(made.lots_to_qty(spec.position_lots_max)) * mid
    for (live, step), call in zip(learning.made, added, strict=True):
        earned = step.values["pnl_units"][live] * float(made.money_unit)
        np.testing.assert_allclose(call[3], 0.5 * 1e4 * earned / worth, rtol=1e-5)
    assert any((call[3] != 0.0).any() for call in added)


def test_choices_are_random_as_often_as_epsilon_says(tmp_path, monkeypatch):
    """A net that never learns: without chance its best choices, with chance alone each of them."""
    never = {"batch_size": 1_000, "samples": 12}
    greedy, _ = run(tmp_path / "a", monkeypatch, router=settings(**never, epsilon_first=0.0, epsilon_last=0.0))
    config = config_of()
    net = module._Learner(config, pool_of(config), 1).weights()
    for call in greedy:
        np.testing.assert_array_equal(call[2], q_values(net, call[0], call[1]).argmax(axis=1))
    chance, _ = run(tmp_path / "b", monkeypatch, router=settings(**never, epsilon_first=1.0, epsilon_last=1.0))
    drawn = np.bincount(np.concatenate([call[2] for call in chance]), minlength=3)
    assert drawn.sum() == 72
    assert drawn.min() > 10


def test_epsilon_falls_over_its_share_and_every_so_many_episodes_are_a_candidate(tmp_path, monkeypatch):
    given = settings(checkpoint_every=2, epsilon_first=0.8, epsilon_last=0.2, epsilon_share=0.5)
    _, said = run(tmp_path, monkeypatch, router=given)
    assert said["learnt"] == 3
    rows = [line.split(",") for line in (tmp_path / "logs" / "router.csv").read_text().splitlines()[1:]]
    assert [int(row[0]) for row in rows] == [12, 24, 36]
    before = [12 - 3, 24 - 3, 36 - 3]  # the choice was made before this step of three lanes
    assert [float(row[1]) for row in rows] == pytest.approx([0.8 - 0.6 * min(1.0, done / 18) for done in before])


def test_the_last_transition_of_an_episode_is_stored_unless_the_published_error_is_asked_for(tmp_path, monkeypatch):
    wrong, said = run(tmp_path, monkeypatch, router=settings(), corrections=Corrections(store_terminal=False))
    assert said["transitions"] == 36
    assert sum(len(call[0]) for call in wrong) == 36 - 6


def test_only_an_end_for_good_has_no_future(tmp_path, monkeypatch):
    """Time that runs out is a cut: what comes behind it counts. Lane 1 is made to end in its fourth macro step."""
    cut, said = run(tmp_path / "cut", monkeypatch, router=settings())
    assert said["transitions"] == 6 * 6, "every episode should run out of time"
    assert not any(call[6].any() for call in cut)

    class Ending(module.RouterCore):
        def step(self, *given: Any) -> Any:
            made = super().step(*given)
            return made._replace(terminated=made.terminated | ((self.steps == 4) & (np.arange(self.lanes) == 1)))

    monkeypatch.setattr(module, "RouterCore", Ending)
    ended, said = run(tmp_path / "ended", monkeypatch, router=settings())
    assert said["transitions"] == 6 * 6 - 2 * 2
    one_round = [[0.0] * 3] * 3 + [[0.0, 1.0, 0.0]] + [[0.0] * 2] * 2
    assert [call[6].tolist() for call in ended] == one_round * 2


@pytest.mark.parametrize("lanes", [1, 2, 6])
def test_updates_are_counted_by_transitions_or_as_published_by_steps_of_all_lanes(tmp_path, monkeypatch, lanes: int):
    _, right = run(tmp_path / "a", monkeypatch, router=settings(lanes=lanes))
    assert right["updates"] == 18
    free = Corrections(lane_free_updates=False)
    _, wrong = run(tmp_path / "b", monkeypatch, router=settings(lanes=lanes, batch_size=6), corrections=free)
    assert wrong["updates"] == 18 // lanes


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path, monkeypatch):
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, monkeypatch, router=settings(), seed=seed)
        texts.append((tmp_path / name / "router.json").read_bytes())
    assert texts[0] == texts[1] != texts[2]
    assert (tmp_path / "a" / "logs" / "router.csv").read_text() == (tmp_path / "b" / "logs" / "router.csv").read_text()


def test_the_epoch_is_chosen_on_validation_data_unless_the_published_error_is_asked_for(tmp_path, monkeypatch):
    spans = []

    def watched(config: Any, market: Any, parts: Any, pool: Any, routers: Any, span: Any) -> Any:
        spans.append(span)
        return judge_routers(config, market, parts, pool, routers, span)

    monkeypatch.setattr(module, "judge_routers", watched)
    market = market_of()
    for validation in (True, False):
        corrections = Corrections(validation_epoch=validation)
        _, said = run(tmp_path / str(validation), monkeypatch, router=settings(), corrections=corrections)
        assert said["judged_on"] == ("validation" if validation else "test")
    parts = Parts.of(market, config_of())
    assert spans == [parts.validation, parts.test]


# -- judging and choosing ----------------------------------------------------------------------------------------------


def test_parts_do_not_touch_and_leave_room_for_what_an_observation_remembers():
    market = market_of()
    config = config_of(embargo_ns=1)
    parts = Parts.of(market, config)
    assert parts.embargo_ns == config.spec(market).layout.lookback_ns > 29 * SECOND
    assert parts.train.low_ns == market.start_ns
    assert parts.test.high_ns == market.end_ns
    for before, after in ((parts.train, parts.validation), (parts.validation, parts.test)):
        assert after.low_ns - before.high_ns == parts.embargo_ns
    share = (parts.validation.low_ns - market.start_ns) / (market.end_ns - market.start_ns)
    assert share == pytest.approx(0.6, abs=1e-6)


def test_windows_cover_a_span_but_for_less_than_a_macro_step_each():
    config, market = config_of(macro_steps=4), market_of()
    span = Parts.of(market, config).validation
    starts, macros = windows_of(config, span)
    length = macros * 4 * config.interval_ns
    assert len(starts) == 11
    for start, following in zip(starts, [*starts[1:], span.high_ns], strict=True):
        assert 0 <= following - start - length < 2 * 4 * config.interval_ns
    assert len(windows_of(config.replace(macro_steps=40), span)[0]) == 1


def test_a_router_is_judged_as_it_acts_alone():
    config, market = config_of(), market_of()
    parts, pool = Parts.of(market, config), pool_of(config)
    spec = config.spec(market)
    routers = []
    for seed in (8, 9):
        net = module._Learner(config.replace(seed=seed), pool, 1).net
        with torch.no_grad():  # what it says depends on what it sees
            for parameter in (net.b1, net.b2, net.b3):
                parameter.zero_()
        routers.append(net.weights(config.router_columns, TARGETS))
    candidates = [*routers, constant_router(config, pool, 1)]
    judged = judge_routers(config, market, parts, pool, candidates, parts.validation)
    starts, macros = windows_of(config, parts.validation)
    assert judged.bps.shape == (3, len(starts))
    assert judged.steps == 3 * len(starts) * macros * config.macro_steps
    seen = set()
    for number, window in ((0, 0), (1, 1), (0, 1), (1, 0), (2, len(starts) - 1)):
        env = RouterEnv(
            "target", market, pool.pool(spec), config.macro_steps, macros, config.router_columns, spec,
            split=parts.validation.bounds, start=starts[window],
        )  # fmt: skip
        observation, _ = env.reset(seed=0)
        earned, over = 0, False
        while not over:
            held = env.core.column("inventory")
            values = q_values(candidates[number], observation[None, : len(config.router_columns)], held)
            choice = int(values.argmax())
            seen.add(choice)
            observation, _, terminated, truncated, info = env.step(choice)
            earned, over = earned + info["pnl_units"], terminated or truncated
        assert judged.bps[number, window] == earned / limit_bps_units(market, spec, parts)
    assert len(seen) > 1


def test_a_learnt_router_is_kept_only_where_it_can_be_told_from_a_constant_one():
    rng = np.random.default_rng(1)
    constant = rng.normal(0.0, 1.0, (2, 12))
    constant[1] += 0.2
    best = int(constant.mean(axis=1).argmax())
    clear = constant[best] + 0.5 + 0.1 * rng.normal(size=12)
    noisy = constant[best] + 0.05 + 3.0 * rng.normal(size=12)
    noisy += constant[best].mean() + 0.05 - noisy.mean()
    assert choose(np.array([noisy, clear, *constant]), 2) == 1
    assert choose(np.array([noisy, *constant]), 1) == 1 + best
    assert choose(constant, 0) == best
    assert choose(np.array([[5.0], [1.0], [2.0]]), 1) == 2  # one window tells nothing
    # The choice for no trend stands until something else, learnt or constant, is clearly better.
    assert choose(np.array([noisy, *constant]), 1, general=1 - best) == 1 + (1 - best)
    ahead = constant[1 - best] + 2.0 + 0.1 * rng.normal(size=12)
    assert choose(np.array([ahead, *constant]), 1, general=1 - best) == 0
    assert choose(np.array([constant[best] - 1.0, constant[best], clear]), 1, general=0) == 2


@pytest.mark.parametrize(("spread", "kept"), [(0.85, 0), (0.88, 1)])
def test_two_standard_errors_are_what_it_takes(spread: float, kept: int):
    """By hand: four windows 1 +- d ahead have the error d / sqrt(3), so d = sqrt(3) / 2 = 0.866 is the edge."""
    ahead = np.array([1 - spread, 1 + spread, 1 - spread, 1 + spread])
    plain = np.array([3.0, -1.0, 0.0, 2.0])
    assert choose(np.array([plain + ahead, plain]), 1) == kept


def test_a_router_learns_which_agent_to_ask_where_that_is_known(tmp_path):
    """On the planted alpha: always short, flat and long below, and the book says which it should be."""
    market = alpha_market()
    columns = ("imbalance_1",)
    targets = (-1.0, 0.0, 1.0)
    config = EarnHftConfig.profile_of(
        "tiny", tape="planted", seed=4, columns=columns, router_columns=columns, targets=targets, macro_steps=10,
        position_lots_max=100, hidden=32, fractions=(0.6, 0.3, 0.1),
        router=RouterSettings(
            samples=16, episode_ns=1_200 * SECOND, checkpoint_every=4, lanes=8, updates_per_transition=0.25,
            batch_size=128, gamma=0.9, rate_first=3e-3, tau=0.05, reward_scale=0.2, epsilon_last=0.2,
        ),
    )  # fmt: skip
    agents = tuple(constant_agent(action, columns, targets) for action in range(3))
    pool = AgentPool(targets, agents, np.tile(np.arange(3), (3, 1)), general=1)
    parts = Parts.of(market, config)
    router = train_router(config, market, parts, pool, tmp_path)
    said = msgspec.json.decode((tmp_path / "router.json").read_bytes())
    assert said["kind"] == "learnt"
    signal = np.array([[-0.6], [0.6]], np.float32)
    for held in (-1.0, 1.0):
        assert q_values(router, signal, np.full(2, held, np.float32)).argmax(axis=1).tolist() == [0, 2]
    judged = judge_routers(config, market, parts, pool, [router], parts.test)
    assert judged.bps.mean() > 0.0
