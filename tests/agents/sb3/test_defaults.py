"""The files of default settings: each is a config of every algorithm that can act there, and mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lobgym.agents.errors import DefaultsError
from lobgym.agents.sb3.config import ENV_IDS, TrainConfig
from lobgym.agents.sb3.defaults import Defaults, assignment, merged, read_defaults, read_settings
from lobgym.agents.sb3.settings import ALGOS_CONTINUOUS, ALGOS_DISCRETE
from lobgym.agents.sb3.tuning import TuneConfig

CHOICES = ("target", "router")


@pytest.mark.parametrize("env", ENV_IDS)
def test_every_environment_has_settings_and_a_space_to_search_for_each_algorithm(env: str) -> None:
    defaults = read_defaults(env)
    algos = ALGOS_DISCRETE if env in CHOICES else ALGOS_CONTINUOUS
    assert set(defaults.layers) == {"all", *algos}
    assert set(defaults.search) == set(algos)
    for algo in algos:
        config = TrainConfig.from_json(defaults.settings(algo))
        assert (config.env, config.algo) == (env, algo)
        assert defaults.search[algo], algo
        study = TuneConfig(config.replace(validate_every=1).to_json(), defaults.search[algo])
        assert study.begin_with() is not None, "the defaults lie outside of what is searched"


def test_later_layers_hold_field_by_field() -> None:
    assert merged({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}}, {"c": None}) == {
        "a": {"x": 1, "y": 3},
        "b": 1,
        "c": None,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("gamma=0.9", 0.9), ("gamma=1e-3", 1e-3), ("hidden=[8, 8]", [8, 8]), ("tape=a=b", "a=b"), ("x=null", None)],
)
def test_assignments_are_plain_data(text: str, value: Any) -> None:
    assert next(iter(assignment(text).values())) == value
    assert assignment("ppo.epochs=2") == {"ppo": {"epochs": 2}}


@pytest.mark.parametrize("text", ["gamma", "=1", "a b=1", "ppo.=3", ".x=1"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(DefaultsError, match="NAME=VALUE"):
        assignment(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("alll: {gamma: 1}", "alll"),
        ("all: {gama: 0.9}\nppo: {}", "gama"),
        ("ppo: {gamma: 2.0}", "gamma"),
        ("ppo: {ppo: {epochs: 0}}", "epochs"),
        ("ppo: {ppo: {epoch: 1}}", "ppo.epoch"),
        ("dqn: {}", "dqn"),
        ("search: {ppo: {gamma: {low: 0.5}}}", "search.ppo.gamma"),
        ("search: {ppo: {gamma: {low: 0.9, high: 0.5}}}", "low <= high"),
        ("search: {ppo: {gamma: {low: 0.9, high: 1.5}}}", "gamma"),
        ("search: {ppo: {gamma: {choice: [1]}}}", "choice"),
        ("search: {ppo: {gama: {low: 0.1, high: 0.5}}}", "gama"),
        ("search: {a2c: {}}", "a2c"),
        ("all: [", "not valid YAML"),
        ("- a", "expected names"),
        ("all: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(text)
    with pytest.raises(DefaultsError, match=named) as caught:
        read_defaults("grid", path)
    assert "grid.yml" in str(caught.value)


def test_numbers_are_written_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    path.write_text("ppo: {learning_rate: 3e-4, batch_size: 64}\ngamma: 1E-1\n")
    assert read_settings(path) == {"ppo": {"learning_rate": 3e-4, "batch_size": 64}, "gamma": 0.1}
    assert isinstance(read_defaults("maker"), Defaults)
    with pytest.raises(DefaultsError, match="expected an environment"):
        read_defaults("arena")
