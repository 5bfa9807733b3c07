"""The arena by PettingZoo's own tests, warnings as errors, and by a bombardment of our own.

PettingZoo 1.27's `bombardment_test` compares what `step` returns, which is None; ours looks at what it is meant to.
Its `parallel_seed_test` stops after one step, for it asks whether any agent's name is true; ours goes on.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from lobgym.envs import ResetNeededError, arena_v0
from lobgym.envs.arena import ARENA_COLUMNS, DEFAULT_AGENTS
from lobgym.sim.errors import ActionError, ParamsError

with warnings.catch_warnings():  # its own tests import games in a way that it deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, parallel_seed_test, seed_test

SMALL: dict[str, Any] = {"interval_ns": 50_000_000}


def test_parallel_api() -> None:
    parallel_api_test(arena_v0.parallel_env(**SMALL), num_cycles=300)


def test_api_in_turns() -> None:
    api_test(arena_v0.env(max_cycles=200, **SMALL), num_cycles=150)


def test_two_of_a_seed_are_alike_in_turns() -> None:
    seed_test(lambda: arena_v0.env(max_cycles=100, **SMALL), num_cycles=150)


def test_two_of_a_seed_are_alike_in_parallel() -> None:
    parallel_seed_test(lambda: arena_v0.parallel_env(max_cycles=100, **SMALL), num_cycles=150)
    runs = []
    for _ in range(2):
        env = arena_v0.parallel_env(max_cycles=60, **SMALL)
        seen = [env.reset(seed=9)]
        for k, agent in enumerate(env.agents):
            env.action_space(agent).seed(k)
        while env.agents:
            seen.append(env.step({agent: env.action_space(agent).sample() for agent in env.agents}))
        runs.append(repr(seen))
        assert len(seen) == 61
    assert runs[0] == runs[1]


def test_max_cycles() -> None:
    max_cycles_test(arena_v0)


@pytest.mark.parametrize("cycles", [1, 7])
def test_the_last_cycle_truncates_all_that_are_left(cycles: int) -> None:
    # No parent orders: one that is filled by then ends its agent before.
    agents = {role: count for role, count in DEFAULT_AGENTS.items() if role != "execution"}
    env = arena_v0.parallel_env(max_cycles=cycles, agents=agents, **SMALL)
    env.reset(seed=1)
    for k in range(cycles):
        names = list(env.agents)
        assert len(names) == sum(agents.values())
        _, _, terminated, truncated, infos = env.step({name: env.action_space(name).sample() for name in names})
        assert set(terminated.values()) == {False}
        assert set(truncated.values()) == {k == cycles - 1}
    assert env.agents == []
    assert {info["end"] for info in infos.values()} == {"horizon"}
    with pytest.raises(ResetNeededError):
        env.step({})


def test_bombardment() -> None:
    """Everything at its bounds, everybody leaving early, many episodes: what agents get stays what was promised."""
    rng = np.random.default_rng(1)
    capital = {"maker": 4.0, "grid": 8.0, "taker": 60.0}
    env = arena_v0.parallel_env(max_cycles=80, capital=capital, interval_ns=200_000_000)
    ends: set[str] = set()
    for episode in range(25):
        observations, infos = env.reset(seed=episode if episode % 3 == 0 else None)
        alone = False
        while env.agents:
            actions: dict[str, Any] = {}
            for name in env.agents:
                space = env.action_space(name)
                space.seed(int(rng.integers(1 << 30)))
                sample = space.sample()
                actions[name] = np.sign(sample).astype(np.float32) if rng.random() < 0.3 and sample.shape else sample
            names = set(env.agents)
            observations, rewards, terminated, truncated, infos = env.step(actions)
            for made in (observations, rewards, terminated, truncated, infos):
                assert set(made) == names
            for name in names:
                assert env.observation_space(name).contains(observations[name])
                assert isinstance(rewards[name], float)
                assert np.isfinite(rewards[name])
                assert type(terminated[name]) is bool
                assert not (terminated[name] and truncated[name])
                assert (infos[name]["end"] != "") == (terminated[name] or truncated[name])
                ends.add(infos[name]["end"])
            assert set(env.agents) == {name for name in names if not terminated[name] and not truncated[name]}
            alone |= 0 < len(env.agents) < len(env.possible_agents)
        assert alone or episode > 0
    assert {"", "bankrupt", "horizon"} <= ends


def test_turns_give_what_parallel_gives() -> None:
    parallel, turns = arena_v0.parallel_env(max_cycles=30, **SMALL), arena_v0.env(max_cycles=30, **SMALL)
    observations, _ = parallel.reset(seed=4)
    turns.reset(seed=4)
    rewards = dict.fromkeys(parallel.agents, 0)
    flags = {name: (False, False) for name in parallel.agents}
    for k, name in enumerate(parallel.agents):
        parallel.action_space(name).seed(k)
    while parallel.agents:
        actions = {name: parallel.action_space(name).sample() for name in parallel.agents}
        for name in list(parallel.agents):
            assert turns.agent_selection == name
            seen, reward, terminated, truncated, _ = turns.last()
            assert np.array_equal(seen, observations[name])
            assert reward == rewards[name]
            assert (terminated, truncated) == flags[name]
            turns.step(actions[name])
        observations, rewards, terminations, truncations, _ = parallel.step(actions)
        flags = {name: (terminations[name], truncations[name]) for name in observations}
    assert all(turns.truncations.values())


def test_what_a_central_critic_sees_is_what_all_see() -> None:
    env = arena_v0.parallel_env(max_cycles=5, **SMALL)
    observations, _ = env.reset(seed=2)
    assert env.state_space.contains(env.state())
    assert np.array_equal(env.state(), np.concatenate([observations[name] for name in env.possible_agents]))
    assert len(env.state()) == len(env.possible_agents) * len(ARENA_COLUMNS)


def test_pictures_in_words() -> None:
    env = arena_v0.parallel_env(max_cycles=5, render_mode="ansi", **SMALL)
    env.reset(seed=2)
    text = env.render()
    assert text is not None
    for name in env.possible_agents:
        assert f"{name}: position=0" in text
    with pytest.raises(ParamsError, match="ansi"):
        arena_v0.parallel_env(render_mode="loud")


def test_turns_in_the_wrong_order_and_wrong_actions_are_refused() -> None:
    env = arena_v0.env(max_cycles=5, **SMALL)
    with pytest.raises(Exception, match="reset"):
        env.step(None)
    env.reset(seed=1)

    def cycle() -> None:
        for name in env.possible_agents:
            env.step(np.full(4, np.nan, np.float32) if name == "maker_0" else env.action_space(name).sample())

    with pytest.raises(ActionError, match="maker_0"):
        cycle()
