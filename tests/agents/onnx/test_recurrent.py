"""An exported LSTM is the model: its decisions along episodes, at their boundaries, and on sequences of extremes.

The oracle is the model's own `predict`, which has its own state and its own way to reset it.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
import torch
from sb3_contrib import RecurrentPPO

from lobgym.agents.errors import ExportError, PolicyError
from lobgym.agents.onnx.export import NEXT_STATE_NAME, STATE_NAME, decision_module, export_policy, state_size
from lobgym.agents.onnx.parity import OnnxPolicy
from lobgym.agents.onnx.recurrent import EXTREME_STEPS, Walk, check_recurrent_parity
from lobgym.sim.actions import ActionSpec
from tests.agents.sb3.dummy import SIZE, DummyEnv, observations, trained

GRID, TARGET = ActionSpec.grid(), ActionSpec.target(5)
LANES, STEPS = 16, 100


@functools.cache
def remembering(discrete: bool, layers: int = 1) -> RecurrentPPO:
    """An untrained model whose weights are large enough that what it remembers decides."""
    kwargs = {"lstm_hidden_size": 16, "n_lstm_layers": layers, "net_arch": [16]}
    model = RecurrentPPO("MlpLstmPolicy", DummyEnv(discrete), seed=3, n_steps=8, device="cpu", policy_kwargs=kwargs)
    with torch.no_grad():
        for weights in model.policy.lstm_actor.parameters():
            weights *= 4.0
        model.policy.action_net.weight *= 300.0
    return model


def walk(seed: int = 0, every: int = 32) -> Walk:
    """Seeded noise; lane i's episodes begin at 0 and at i, i + `every`, ..."""
    starts = (np.arange(STEPS)[:, None] - np.arange(LANES)[None, :]) % every == 0
    starts[0] = True
    return Walk(observations(STEPS * LANES, seed).reshape(STEPS, LANES, SIZE), starts)


@pytest.mark.parametrize(("discrete", "layers"), [(False, 1), (True, 1), (True, 2)])
def test_every_decision_is_equal_along_episodes(discrete: bool, layers: int) -> None:
    model = remembering(discrete, layers=layers)
    report = check_recurrent_parity(
        model, export_policy(model), walk(), TARGET if discrete else GRID, observations_min=STEPS * LANES
    )
    assert report.ok, report.problems
    assert (report.flips, report.first_flip) == (0, -1)
    assert report.raw_difference_max <= 1e-5
    assert report.extremes % EXTREME_STEPS == 0
    assert report.extremes > 8 * 256
    assert report.observations == STEPS * LANES + report.extremes
    assert report.boundaries == int(walk().starts[1:].sum())
    assert report.to_json()["boundaries"] == report.boundaries


def test_the_graph_has_a_state_in_and_out() -> None:
    model = remembering(True, layers=2)
    content = export_policy(model)
    assert export_policy(remembering.__wrapped__(True, layers=2)) == content
    graph = onnx.load_model_from_string(content).graph
    assert [one.name for one in graph.input] == ["observation", STATE_NAME]
    assert [one.name for one in graph.output] == ["action", NEXT_STATE_NAME]
    for one in (graph.input[1], graph.output[1]):
        assert [d.dim_value for d in one.type.tensor_type.shape.dim] == [1, 2 * 2 * 16]
    assert all("/" not in text for node in graph.node for text in (node.name, *node.input, *node.output))
    assert b"site-packages" not in content
    assert state_size(model) == 64
    assert state_size(trained("ppo", True)) == 0


def test_the_state_is_the_hidden_rows_and_then_the_cells() -> None:
    """Laid out as stated, against what `predict` gives back: (layers, lanes, width) of each."""
    model = remembering(True, layers=2)
    rows = observations(3 * 5).reshape(5, 3, SIZE)
    state, memory, module = torch.zeros((3, 64)), None, decision_module(model)
    for row in rows:
        with torch.no_grad():
            _, state = module(torch.from_numpy(row), state)
        _, memory = model.predict(row, memory, np.zeros(3, np.bool_), deterministic=True)
    assert memory is not None
    hidden, cell = memory
    expected = np.concatenate([hidden[0], hidden[1], cell[0], cell[1]], axis=1)
    assert np.abs(state.numpy() - expected).max() < 1e-6


def altered(data: bytes, name: str, change: float) -> bytes:
    """The graph with one recurrent weight moved."""
    model = onnx.load_model_from_string(data)
    (node,) = (node for node in model.graph.node if node.op_type == "LSTM")
    place = {"input": 1, "recurrent": 2}[name]
    (weight,) = (one for one in model.graph.initializer if one.name == node.input[place])
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0, 0] += change
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return bytes(model.SerializeToString(deterministic=True))


def test_a_difference_that_only_the_state_shows_is_found() -> None:
    """Recurrent weights meet zeros at an episode's start: there the graphs are equal, later they are not."""
    model = remembering(True)
    other = altered(export_policy(model), "recurrent", 0.5)
    first = Walk(walk().rows[:1], walk().starts[:1])
    here, there = (OnnxPolicy(data, True) for data in (export_policy(model), other))
    for policy in (here, there):
        policy.reset(LANES)
    assert np.array_equal(here.raw(first.rows[0]), there.raw(first.rows[0]))
    report = check_recurrent_parity(model, other, walk(), TARGET, observations_min=1_000)
    assert not report.ok
    assert report.raw_difference_max > 1e-4


def test_episodes_that_never_end_prove_nothing_of_the_beginning() -> None:
    model = remembering(True)
    met = Walk(walk().rows, np.zeros((STEPS, LANES), np.bool_) | (np.arange(STEPS) == 0)[:, None])
    report = check_recurrent_parity(model, export_policy(model), met, TARGET, observations_min=1_000)
    assert report.problems == ("no episode ended: let the policy act longer",)


def test_lanes_remember_each_for_itself() -> None:
    """Lane i of many is a lone lane, and forgets alone."""
    served = OnnxPolicy(export_policy(remembering(False)), discrete=False)
    met = walk()
    served.reset(LANES)
    together = []
    for rows, starts in zip(met.rows, met.starts, strict=True):
        served.forget(starts)
        together.append(served.raw(rows))
    for lane in (0, 7):
        served.reset(1)
        for step in range(STEPS):
            served.forget(met.starts[step, lane : lane + 1])
            assert np.array_equal(served.raw(met.rows[step, lane : lane + 1])[0], together[step][lane])


def test_mistakes_are_named() -> None:
    model = remembering(True)
    content = export_policy(model)
    served = OnnxPolicy(content, discrete=True)
    served.reset(2)
    with pytest.raises(PolicyError, match="a row for each of 2 lanes, got 3"):
        served.act(observations(3))
    with pytest.raises(PolicyError, match="a state of 32 values, got one with 0"):
        check_recurrent_parity(model, export_policy(trained("ppo", True)), walk(), TARGET)
    bad = walk()
    bad.rows[3, 2, 1] = np.nan
    with pytest.raises(PolicyError, match="finite observations"):
        check_recurrent_parity(model, content, bad, TARGET)
    few = check_recurrent_parity(model, content, walk(), TARGET)
    assert "1600 observations, at least 20000" in few.problems[0]
    with pytest.raises(ExportError, match="the exported policy is not the model"):
        few.require_ok()
    squashed = RecurrentPPO(
        "MlpLstmPolicy", DummyEnv(False), n_steps=8, device="cpu", policy_kwargs={"squash_output": True}, use_sde=True
    )
    with pytest.raises(ExportError, match="unsquashed Box"):
        export_policy(squashed)
