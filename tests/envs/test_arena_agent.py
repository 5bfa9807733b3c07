"""One agent of the arena as a Gymnasium environment: the checkers, the others' policies, and copies."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from lobgym.envs import ResetNeededError, arena_v0
from lobgym.envs.arena.agent import ArenaAgentEnv
from lobgym.envs.arena.others import FixedCodes, WanderingTaker, default_policy
from lobgym.envs.testing import CHECKS, Subject, check_environment
from lobgym.sim.errors import ActionError, LobgymError, ParamsError

SMALL: dict[str, Any] = {"max_cycles": 40, "interval_ns": 100_000_000}
NAMES = ["maker_0", "grid_0", "taker_0", "execution_0"]
ID = "lobgym.envs:lobgym/ArenaAgent-v0"


@pytest.mark.parametrize("agent", NAMES)
def test_gymnasium_checker(agent: str) -> None:
    env = gymnasium.make(ID, agent=agent, **SMALL)
    check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps is None


@pytest.mark.parametrize("agent", NAMES)
def test_sb3_checker(agent: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(ArenaAgentEnv(agent, **SMALL))


def run(env: ArenaAgentEnv, seed: int, steps: int = 60) -> list[Any]:
    seen: list[Any] = [env.reset(seed=seed)]
    env.action_space.seed(seed)
    for _ in range(steps):
        seen.append(env.step(env.action_space.sample()))
        if seen[-1][2] or seen[-1][3]:
            seen.append(env.reset())
    return [repr(one) for one in seen]


def test_a_seed_fixes_episodes_with_the_others_in_them() -> None:
    first, second = ArenaAgentEnv("maker_1", **SMALL), ArenaAgentEnv("maker_1", **SMALL)
    assert run(first, 3) == run(second, 3) == run(first, 3)
    assert run(first, 3) != run(first, 4)


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "two_processes"])
@pytest.mark.parametrize("agent", ["maker_0", "taker_0"])
def test_the_battery(agent: str, check: str) -> None:
    made = Subject(ID, {"agent": agent, **SMALL}, lanes=2, refusals=(LobgymError, TypeError))
    (finding,) = check_environment(made, [check])
    assert finding.outcome != "skipped" or check in ("causality", "vector", "sums"), finding.message


def test_it_is_the_arena_with_one_agent_left_open() -> None:
    """The same actions by hand, through PettingZoo, give the agent the same."""
    env = ArenaAgentEnv("maker_0", others={"maker_1": FixedMaker()}, **SMALL)
    arena = arena_v0.parallel_env(**SMALL)
    observation, _ = env.reset(seed=5)
    observations, _ = arena.reset(seed=5)
    specs = dict(zip(arena.core.agents, arena.core.specs, strict=True))
    policies = {
        name: default_policy(specs[name].kind, specs[name].action) for name in ("grid_0", "taker_0", "execution_0")
    }
    policies["taker_0"].reset(1, 5 + arena.core.index["taker_0"])  # type: ignore[attr-defined]
    env.action_space.seed(1)
    over = False
    while not over:
        assert np.array_equal(observation, observations["maker_0"])
        action = env.action_space.sample()
        actions = {
            name: policy.act(observations[name][None])[0] for name, policy in policies.items() if name in arena.agents
        }
        observation, reward, terminated, truncated, info = env.step(action)
        everything = arena.step({**actions, "maker_0": action, "maker_1": np.zeros(4, np.float32)})
        observations = everything[0]
        assert reward == everything[1]["maker_0"]
        summary = info.pop("summary", None)
        assert info == everything[4]["maker_0"]
        over = terminated or truncated
    assert truncated
    assert summary["steps"] == 40


class FixedMaker:
    """Notes how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.begun: list[tuple[int, int]] = []

    def reset(self, lanes: int, seed: int = 0) -> None:
        self.begun.append((lanes, seed))

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        self.asked.append(observations.shape)
        return np.zeros((len(observations), 4), np.float32)


def test_a_policy_of_several_agents_is_asked_once_for_all_of_them() -> None:
    shared = FixedMaker()
    env = ArenaAgentEnv("taker_0", others={"maker": shared}, agents={"maker": 3, "taker": 1}, **SMALL)
    env.reset(seed=1)
    env.step(2)
    assert shared.asked == [(3, 25)]
    assert [lanes for lanes, _ in shared.begun] == [3]


def test_a_policy_that_answers_nonsense_is_named() -> None:
    class Nonsense:
        def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full((len(observations), 4), 2.0, np.float32)

    env = ArenaAgentEnv("taker_0", others={"maker_1": Nonsense()}, **SMALL)
    env.reset(seed=1)
    with pytest.raises(ActionError, match="maker_1"):
        env.step(2)


def test_the_agents_end_is_the_episodes_end() -> None:
    env = ArenaAgentEnv("taker_0", capital={"taker": 20.0}, max_cycles=500)
    env.reset(seed=2)
    for k in range(500):
        _, _, terminated, truncated, info = env.step(4 * (k % 2))
        if terminated:
            break
    assert (terminated, truncated, info["end"]) == (True, False, "bankrupt")
    assert info["summary"]["pnl_units"] == info["equity_units"]
    with pytest.raises(ResetNeededError):
        env.step(0)


def test_others_may_leave_before_it() -> None:
    env = ArenaAgentEnv("grid_0", capital={"taker": 1.0}, max_cycles=60)
    env.reset(seed=2)
    for _ in range(60):
        *_, truncated, info = env.step(np.zeros(5, np.float32))
    assert truncated
    assert "taker_0" not in env.core.live
    assert info["end"] == "horizon"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"agent": "maker_7"}, "maker_0"),
        ({"others": {"maker_0": FixedMaker()}}, "no other agent"),
        ({"others": {"grid": 3}}, "act"),
        ({"render_mode": "loud"}, "ansi"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        ArenaAgentEnv(**{**SMALL, **arguments})


def test_a_step_before_the_first_reset_is_refused() -> None:
    with pytest.raises(ResetNeededError):
        ArenaAgentEnv(**SMALL).step(np.zeros(4, np.float32))


def test_wandering_takers_wander_and_repeat() -> None:
    one, other = WanderingTaker(5, hold=3), WanderingTaker(5, hold=3)
    rows = np.zeros((2, 25), np.float32)
    for policy in (one, other):
        policy.reset(2, seed=4)
    walks = [[policy.act(rows).tolist() for _ in range(200)] for policy in (one, other)]
    assert walks[0] == walks[1]
    for k in range(2):
        path = [row[k] for row in walks[0]]
        assert set(path) == set(range(5))
        moves = sum(a != b for a, b in pairwise(path))
        assert 45 <= moves <= 90


def test_fixed_codes_decode_to_themselves() -> None:
    action = ArenaAgentEnv(**SMALL).core.specs[0].action
    rows = np.zeros((3, 25), np.float32)
    assert action.decode(FixedCodes(action, (7, 7, 0, 4)).act(rows)).tolist() == [[7, 7, 0, 4]] * 3
