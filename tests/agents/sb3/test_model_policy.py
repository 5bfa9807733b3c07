"""Goal: a model plays as it predicts, in evaluation mode, and is left as it was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.agents.policy import ModelPolicy
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.environment import make_env
from lobgym.agents.sb3.models import build_model

CONFIG = TrainConfig(tape="synth?minutes=3", num_envs=4, horizon=40, hidden=(8, 8))


@pytest.mark.parametrize(
    ("algo", "env"),
    [
        ("ppo", "grid"),
        ("ppo", "target"),
        ("sac", "maker"),
        ("dqn", "target"),
        ("qrdqn", "target"),
        ("ppo_lstm", "grid"),
    ],
)
def test_a_model_plays_as_it_predicts_and_is_left_as_it_was(algo: Any, env: Any) -> None:
    lanes = make_env(CONFIG.replace(algo=algo, env=env))
    model = build_model(CONFIG.replace(algo=algo, env=env), lanes, with_buffer=False)
    policy = ModelPolicy(model, "it")
    policy.reset(4)
    model.policy.set_training_mode(True)
    modes = [module.training for module in model.policy.modules()]
    assert any(modes)
    seen, memory = lanes.reset(), None
    for step in range(3):
        model.policy.set_training_mode(step == 0)  # as after an update, and between two steps of a validation
        own = policy.act(seen)
        assert not model.policy.training
        wanted, memory = model.predict(seen, memory, np.full(4, step == 0), deterministic=True)
        np.testing.assert_array_equal(own, wanted)
        seen = lanes.step(own)[0]
    model.policy.set_training_mode(True)
    assert [module.training for module in model.policy.modules()] == modes
    lanes.close()


def test_modules_are_not_walked_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling each of them that nothing is learned took a third of a validation."""
    lanes = make_env(CONFIG)
    model = build_model(CONFIG, lanes)
    told: list[bool] = []
    train = type(model.policy).train
    monkeypatch.setattr(type(model.policy), "train", lambda self, mode=True: (told.append(mode), train(self, mode))[1])
    policy = ModelPolicy(model, "it")
    model.policy.set_training_mode(True)
    told.clear()
    for _ in range(5):
        policy.act(np.zeros((4, *lanes.observation_space.shape), np.float32))  # type: ignore[misc]
    assert told == [False]
    lanes.close()
