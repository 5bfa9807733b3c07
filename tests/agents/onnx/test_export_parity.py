"""The exported policy is the model: byte for byte again in a fresh process, and decision for decision."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from stable_baselines3 import A2C

from lobgym.agents.errors import ExportError, PolicyError
from lobgym.agents.onnx.export import INPUT_NAME, OPSET, OUTPUT_NAME, export_module, export_policy
from lobgym.agents.onnx.parity import OnnxPolicy, check_parity, extreme_observations
from lobgym.sim.actions import ActionSpec
from tests.agents.sb3.dummy import SIZE, DummyEnv, observations, trained
from tests.project import ROOT

GRID, TARGET = ActionSpec.grid(), ActionSpec.target(5)
CASES = [("ppo", False), ("ppo", True), ("dqn", True), ("qrdqn", True), ("sac", False)]


@pytest.mark.parametrize(("algo", "discrete"), CASES)
def test_every_decision_is_equal(algo: str, discrete: bool) -> None:
    model = trained(algo, discrete)
    coder = TARGET if discrete else GRID
    report = check_parity(model, export_policy(model), observations(20_000), coder)
    assert report.ok, report.problems
    report.require_ok()
    assert report.flips == 0
    assert report.first_flip == -1
    assert report.raw_difference_max <= 1e-5
    assert 0.0 <= report.margin_min <= report.margin_p01
    assert report.distinct_actions >= 3
    assert report.observations == 20_000 + report.extremes
    assert report.to_json()["ok"] is True


@pytest.mark.parametrize(("algo", "discrete"), CASES)
def test_the_graph_says_nothing_about_its_origin(algo: str, discrete: bool) -> None:
    content = export_policy(trained(algo, discrete))
    graph = onnx.load_model_from_string(content)
    assert graph.opset_import[0].version == OPSET
    (given,), (result,) = graph.graph.input, graph.graph.output
    assert (given.name, result.name) == (INPUT_NAME, OUTPUT_NAME)
    assert [d.dim_value for d in given.type.tensor_type.shape.dim] == [1, SIZE]
    assert [d.dim_value for d in result.type.tensor_type.shape.dim] == [1, 5]
    assert not graph.doc_string
    assert not graph.metadata_props
    assert all(not node.doc_string and not node.metadata_props for node in graph.graph.node)
    assert all("/" not in text for node in graph.graph.node for text in (node.name, *node.input, *node.output))
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content


def test_two_processes_export_the_same_bytes() -> None:
    script = (
        "import hashlib; from tests.agents.sb3.dummy import trained;"
        "from lobgym.agents.onnx.export import export_policy;"
        "print(hashlib.sha256(export_policy(trained('ppo', False))).hexdigest())"
    )
    here = hashlib.sha256(export_policy(trained("ppo", False))).hexdigest()
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert other.stdout.strip() == here


def test_exporting_leaves_the_model_as_it_was() -> None:
    model = trained("ppo", False)
    model.policy.set_training_mode(True)
    assert export_policy(model) == export_policy(model)
    assert model.policy.training


def test_another_models_export_is_found_out() -> None:
    model, other = trained("ppo", False), trained("ppo", False, seed=4)
    report = check_parity(model, export_policy(other), observations(20_000), GRID)
    assert not report.ok
    assert report.flips > 0
    assert report.first_flip >= 0
    with pytest.raises(ExportError, match="decisions differ"):
        report.require_ok()


def test_one_flip_is_enough_to_fail() -> None:
    """A bias moved by less than the tolerance: found only because a mean sits on a bin's edge."""
    model = trained("ppo", False)
    rows = observations(20_000)
    raw = OnnxPolicy(export_policy(model), discrete=False).raw(rows[:1])
    content = export_policy(model)
    with torch.no_grad():
        # Puts the first row's first component 2e-6 below the edge at 0; the export lies 4e-6 above it.
        model.policy.action_net.bias[0] -= float(raw[0, 0]) + 2e-6
        below = check_parity(model, export_policy(model), rows, GRID)
        assert below.ok
        assert below.margin_min < 1e-5
        content = export_policy(model)
        model.policy.action_net.bias[0] += 4e-6
    report = check_parity(model, content, rows, GRID)
    assert report.raw_difference_max <= 1e-5
    assert report.flips >= 1
    assert not report.ok


def test_too_few_observations_or_actions_are_no_proof() -> None:
    model = trained("ppo", False)
    report = check_parity(model, export_policy(model), observations(10), GRID)
    assert "10 observations" in report.problems[0]
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
    same = check_parity(model, export_policy(model), observations(20_000), GRID)
    assert same.distinct_actions == 1
    assert not same.ok


def test_any_module_exports_as_a_function_of_one_observation() -> None:
    torch.manual_seed(5)
    module = torch.nn.Sequential(torch.nn.Linear(SIZE, 7), torch.nn.ReLU(), torch.nn.Linear(7, 4)).eval()
    content = export_module(module, SIZE)
    assert content == export_module(module, SIZE)
    rows = observations(300)
    with torch.no_grad():
        expected = module(torch.from_numpy(rows)).numpy()
    assert np.abs(OnnxPolicy(content, discrete=True).raw(rows) - expected).max() < 1e-6
    with pytest.raises(ExportError, match=f"{SIZE + 1} columns"):
        export_module(module, SIZE + 1)


def test_mistakes_are_named() -> None:
    model = trained("ppo", False)
    content = export_policy(model)
    with pytest.raises(PolicyError, match=r"expected observations of shape \(N, 12\)"):
        OnnxPolicy(content, discrete=False).act(np.zeros((2, 3), np.float32))
    with pytest.raises(PolicyError, match="finite"):
        check_parity(model, content, np.full((2, SIZE), np.nan, np.float32), GRID)
    with pytest.raises(ExportError, match="A2C"):
        export_policy(A2C("MlpPolicy", DummyEnv(True), device="cpu"))


def test_extremes_cover_the_corners() -> None:
    rows = extreme_observations(4, corners=8)
    assert rows.dtype == np.float32
    assert rows.shape == (3 + 8 + 8, 4)
    assert set(np.unique(rows)) == {-1.0, 0.0, 1.0}
    assert np.array_equal(rows, extreme_observations(4, corners=8))
    assert not np.array_equal(rows, extreme_observations(4, corners=8, seed=1))
