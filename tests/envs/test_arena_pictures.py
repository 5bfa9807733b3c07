"""Goal: an arena's agents are filmed as they are, and filming changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from lobgym.envs import arena_v0
from lobgym.envs.arena.agent import ArenaAgentEnv
from lobgym.envs.arena.picture import ArenaSource
from lobgym.envs.rendering.camera import Camera
from lobgym.sim.records import BUY
from tests.envs.arenas import core_of, random_actions

SMALL: dict[str, Any] = {"agents": {"maker": 1, "taker": 1}, "max_cycles": 40}


def test_an_episode_that_is_filmed_is_the_one_that_is_not() -> None:
    seen = []
    for mode in (None, "rgb_array"):
        env = ArenaAgentEnv(render_mode=mode, **SMALL)
        env.action_space.seed(1)
        rows: list[Any] = [env.reset(seed=3)[0].tobytes()]
        for _ in range(25):
            observation, reward, _, _, info = env.step(env.action_space.sample())
            rows.append((observation.tobytes(), reward, info))
        seen.append(rows)
        picture = env.render()
    assert seen[0] == seen[1]
    assert picture.shape == (540, 960, 3)
    other = copy.deepcopy(env)
    assert other.render().shape == (540, 960, 3)
    zero = np.zeros(4, np.float32)
    assert other.step(zero)[0].tobytes() == env.step(zero)[0].tobytes()


def test_scenes_show_what_the_exchange_says() -> None:
    core = core_of(exchange={"log": "fills", "log_rows": 1 << 12})
    camera = Camera(ArenaSource(core))
    core.reset(2)
    camera.began()
    rng = np.random.default_rng(0)
    ahead = 0
    for _ in range(30):
        core.step(random_actions(core, rng))
        camera.stepped(())
        for i in range(len(core.agents)):
            scene = camera.scene(i)
            lot = float(core.exchange.instrument.lot_size)
            position = core.exchange.account(i).position_lots * lot
            assert scene.samples[-1].position == pytest.approx(position)
            assert sum(f.qty if f.buy else -f.qty for f in scene.fills) == pytest.approx(position)
            assert len(scene.dials) == core.specs[i].action.size
            ladder = core.exchange.ladder(BUY, 8, member=i)
            free = [level.qty for level in scene.bids if not level.own]
            assert set(np.round(free, 9)) <= set(np.round(ladder[:, 1] * lot, 9))
            for order in core.exchange.orders(i):
                if order["state"] == 2 and order["view_leaves"] > 0:
                    lots = core.exchange.queue_ahead(i, int(order["id"]))
                    levels = scene.bids if order["side"] == BUY else scene.asks
                    price = f"{core.exchange.instrument.ticks_to_price(int(order['view_tick'])):,.1f}"
                    (level,) = [one for one in levels if one.price == price]
                    assert any(quote.ahead == pytest.approx(lots * lot) for quote in level.own)
                    ahead += 1
    assert ahead > 50


def test_parallel_environments_show_their_first_agent() -> None:
    env = arena_v0.parallel_env(render_mode="rgb_array", **SMALL)
    env.reset(seed=1)
    first = env.render()
    env.step({name: env.action_space(name).sample() for name in env.agents})
    assert env.render().shape == (540, 960, 3)
    assert not np.array_equal(env.render(), first)
    env.close()
