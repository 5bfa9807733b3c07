"""Goal: a data set holds exactly what the environment gave, and is enough to play its episodes again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import lobgym.envs  # noqa: F401 - registers the ids
from lobgym.envs.offline import ExportError, export_minari
from lobgym.sim.errors import ParamsError
from lobgym.sim.params import SimParams

minari = pytest.importorskip("minari")

SHORT: dict[str, Any] = {"tape": "synth?seed=4&minutes=3", "horizon": 15, "spec": {"interval_ns": 250_000_000}}


class Noise:
    """Actions that depend on the seed and on how often it was asked."""

    name = "noise"

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self._space = space

    def reset(self, lanes: int, seed: int = 0) -> None:
        self._space.seed(seed)

    def act(self, observations: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.array([self._space.sample() for _ in observations])


def noise(env_id: str) -> Noise:
    return Noise(gymnasium.make(env_id, **SHORT).action_space)


@pytest.mark.parametrize(
    ("env_id", "arguments"),
    [
        ("lobgym/Grid-v0", SHORT),
        ("lobgym/TargetPosition-v0", SHORT),
        ("lobgym/Router-v0", {**SHORT, "macro_steps": 4}),
        ("lobgym/ArenaAgent-v0", {"agents": {"maker": 1, "taker": 1}, "max_cycles": 15}),
    ],
)
def test_what_is_loaded_is_what_was_played(
    env_id: str, arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting = Noise(gymnasium.make(env_id, **arguments).action_space)
    done = export_minari(env_id, acting, 3, "lobgym/x/noise-v0", tmp_path, seed=5, author="nobody", **arguments)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = minari.load_dataset("lobgym/x/noise-v0")
    assert (done.episodes, done.steps) == (data.total_episodes, data.total_steps) == (3, 45)
    assert list(minari.list_local_datasets()) == ["lobgym/x/noise-v0"]
    env = data.recover_environment()
    metadata = list(data.storage.get_episode_metadata(range(3)))
    for k, episode in enumerate(data.iterate_episodes()):
        assert metadata[k]["seed"] == metadata[k]["lane_seed"] == 5 + k
        observation, begun = env.reset(seed=5 + k)
        assert begun["start_ns"] == metadata[k]["start_ns"]
        seen, rewards, infos = [observation], [], []
        for action in episode.actions:
            observation, reward, terminated, truncated, info = env.step(action)
            seen.append(observation)
            rewards.append(reward)
            infos.append(info)
        assert np.array_equal(np.array(seen), episode.observations)
        assert episode.observations.dtype == np.float32
        assert rewards == episode.rewards.tolist()
        assert [terminated, truncated] == [episode.terminations[-1], episode.truncations[-1]]
        assert truncated
        assert not episode.truncations[:-1].any()
        assert [info["pnl_units"] for info in infos] == episode.infos["pnl_units"].tolist()[1:]
        assert np.isnan(episode.infos["mid"][0])
        assert metadata[k]["summary_pnl_units"] == int(episode.infos["pnl_units"].sum())
        assert done.returns[k] == sum(rewards)
    kept = data.storage.metadata
    assert kept["algorithm_name"] == "noise"
    if env_id == "lobgym/Grid-v0":
        assert kept["lobgym_tape_digest"] == env.unwrapped.core.market.tape.digest


def test_the_same_export_is_the_same_data_and_batches_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting = noise("lobgym/Grid-v0")
    export_minari("lobgym/Grid-v0", acting, 4, "a-v0", tmp_path, **SHORT)
    monkeypatch.setattr("lobgym.envs.offline._BATCH_STEPS", 20)
    export_minari("lobgym/Grid-v0", acting, 4, "b-v0", tmp_path, **SHORT)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    pairs = zip(minari.load_dataset("a-v0").iterate_episodes(), minari.load_dataset("b-v0").iterate_episodes(),
                strict=True)  # fmt: skip
    count = 0
    for one, other in pairs:
        count += 1
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        assert one.infos.keys() == other.infos.keys()
    assert count == 4


def test_what_cannot_be_exported_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    acting = noise("lobgym/Grid-v0")
    variables = dict(os.environ)
    with pytest.raises(ExportError, match="no name of a data set"):
        export_minari("lobgym/Grid-v0", acting, 1, "no version", tmp_path, **SHORT)
    with pytest.raises(ExportError, match="plain data"):
        export_minari("lobgym/Grid-v0", acting, 1, "a-v0", tmp_path, params=SimParams(), **SHORT)
    with pytest.raises(ParamsError):
        export_minari("lobgym/Grid-v0", acting, 0, "a-v0", tmp_path, **SHORT)

    class Broken(Noise):
        def act(self, observations: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            raise RuntimeError("no idea")

    with pytest.raises(RuntimeError):
        export_minari("lobgym/Grid-v0", Broken(gymnasium.spaces.Discrete(2)), 1, "a-v0", tmp_path, **SHORT)
    assert list(tmp_path.iterdir()) == []
    assert os.environ.get("MINARI_DATASETS_PATH") == variables.get("MINARI_DATASETS_PATH")
    export_minari("lobgym/Grid-v0", acting, 1, "a-v0", tmp_path, **SHORT)
    with pytest.raises(ExportError, match="'a-v1'"):
        export_minari("lobgym/Grid-v0", acting, 1, "a-v0", tmp_path, **SHORT)
