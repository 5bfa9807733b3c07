"""A policy that remembers, served: its state along a run, its beginning, and what must not be remembered or loaded.

The oracle is an LSTM written down with numpy in float64, walked along the run decision by decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from lobgym.runtime.bundle import LoadedBundle, load_bundle, write_bundle
from lobgym.runtime.engine import DECISION, PaperRun, decide, plan_run
from lobgym.runtime.errors import BundleError, ModelError, PolicyError
from lobgym.runtime.hierarchy import NOBODY
from lobgym.runtime.journal import Journal, read_journal
from lobgym.runtime.model_check import check_model
from lobgym.runtime.paper import run_paper
from lobgym.runtime.policy import Memory
from lobgym.runtime.replay import replay
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import MakeBundle, meta, observations
from tests.runtime.models import linear, lstm, lstm_weights, mlp, recurrent, tensor
from tests.runtime.test_hierarchy import ACTIONS, AGENTS, CHOICES
from tests.runtime.test_hierarchy import PLAN as HIERARCHY

HIDDEN, STEPS = 6, 150
STARTS = [0, 5]
Make = Callable[..., LoadedBundle]


class Lstm:
    """The network of `models.lstm` in float64."""

    def __init__(self, inputs: int, outputs: int, seed: int = 0) -> None:
        made = lstm_weights(inputs, outputs, HIDDEN, seed)
        self.w, self.r, bias, self.head = (made[name].astype(np.float64) for name in ("W", "R", "B", "w"))
        self.b = bias[0, : 4 * HIDDEN] + bias[0, 4 * HIDDEN :]
        self.h = self.c = np.zeros(HIDDEN)

    def step(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        gates = self.w[0] @ observation + self.r[0] @ self.h + self.b
        i, o, f = (1 / (1 + np.exp(-gates[k * HIDDEN : (k + 1) * HIDDEN])) for k in range(3))
        self.c = f * self.c + i * np.tanh(gates[3 * HIDDEN :])
        self.h = o * np.tanh(self.c)
        return np.tanh(self.h @ self.head)


@pytest.fixture
def make(tmp_path: Path, tape: Tape, specs: dict[str, DeskSpec]) -> Make:
    """A loaded bundle of a random LSTM."""

    def made(kind: str = "target", name: str = "memory", network: bytes | None = None, **changes: Any) -> LoadedBundle:
        spec = specs[kind]
        outputs = spec.action.size if spec.action.continuous else spec.action.bins[0]
        data = network or lstm(spec.layout.size, outputs)
        rows = observations(spec.layout.size)
        folder = write_bundle(tmp_path / name, data, spec, meta(tape, **changes), rows, golden_starts=STARTS)
        return load_bundle(folder, allow_ungated=True)

    return made


@pytest.mark.parametrize("kind", ["target", "grid", "maker"])
def test_a_run_carries_the_state_from_its_beginning(
    make: Make, tape: Tape, market: Market, tmp_path: Path, kind: str
) -> None:
    bundle = make(kind)
    run_paper(bundle, tape, tmp_path / "j", steps=STEPS, market=market)
    records = [record.body for record in read_journal(tmp_path / "j").records if record.kind == DECISION]
    spec = bundle.spec
    remembering, forgetting = (Lstm(spec.layout.size, bundle.policy.outputs) for _ in range(2))
    desk, memory = Desk(spec, market), bundle.policy.begin()
    desk.reset(market.start_ns, 0)
    seen, differs = desk.observe(), 0
    for record in records:
        expected = remembering.step(seen[0])
        forgetting.h = forgetting.c = np.zeros(HIDDEN)
        alone = forgetting.step(seen[0])
        assert np.abs(bundle.policy.infer(seen[0], memory) - expected).max() < 1e-5
        verdict = bundle.policy.decide(seen[0], memory)
        assert np.abs(memory.state - np.concatenate([remembering.h, remembering.c])).max() < 1e-5
        codes, other = (bundle.policy.decode(row.astype(np.float32)).tolist() for row in (expected, alone))
        assert record["codes"] == list(verdict.codes) == codes
        differs += other != codes
        seen, _ = desk.step(np.array([codes], np.int32))
    assert len(records) == STEPS
    assert differs > STEPS // 10, "what is remembered must have decided something"


def test_a_run_comes_out_again_and_is_taken_up_again(make: Make, tape: Tape, market: Market, tmp_path: Path) -> None:
    bundle = make()
    whole = run_paper(bundle, tape, tmp_path / "whole", steps=60, market=market)
    result = replay(tmp_path / "whole", bundle, tape)
    assert result.ok
    assert result.decision_hash == whole.decision_hash
    records = read_journal(tmp_path / "whole").records
    with Journal(tmp_path / "part") as part:
        for record in records[: 1 + 2 * 23]:
            part.append(record.kind, record.body)
    again = run_paper(bundle, tape, tmp_path / "part", steps=60, market=market, resume=True)
    assert again.decision_hash == whole.decision_hash
    first = [body for kind, body in PaperRun(bundle, market, plan_run(market, bundle.spec, None, 60, 0)).records()]
    assert [body for body in first if "codes" in body] == [one.body for one in records if one.kind == DECISION]
    assert " ".join(sorted(records[1].body)) == "codes intents margin n obs reason run session t_ns"


def test_a_journal_without_its_first_decisions_does_not_come_out_again(
    make: Make, tape: Tape, market: Market, tmp_path: Path
) -> None:
    """A state that survived from an earlier run would decide otherwise, and show."""
    bundle = make()
    plan = plan_run(market, bundle.spec, None, 60, 0)
    honest = [body["codes"] for kind, body in PaperRun(bundle, market, plan).records() if kind == DECISION]
    used = PaperRun(bundle, market, plan)
    used._memory.state[:] = 1.0
    assert [body["codes"] for kind, body in used.records() if kind == DECISION] != honest


def test_the_guard_leaves_the_state_as_it_is(make: Make) -> None:
    bundle = make()
    spec, policy = bundle.spec, bundle.policy
    rows = observations(spec.layout.size, 12)
    bad = {3: np.nan, 4: 7.0, 9: np.inf}

    def walk(with_bad: bool) -> list[Any]:
        memory, made = policy.begin(), []
        for number, row in enumerate(rows):
            if number in bad and not with_bad:
                continue
            seen = np.full_like(row, bad[number]) if number in bad else row
            decision = decide(policy, seen, spec.layout.low, spec.layout.high, spec.idle_codes, memory)
            if number in bad:
                assert (decision.codes, decision.reason != "ok") == (spec.idle_codes, True)
            else:
                made.append((decision, memory.state.tolist()))
        return made

    assert walk(True) == walk(False)


def endless(size: int, outputs: int, output_too: bool) -> bytes:
    """next_state = 1e30 state + 1: finite twice, then not. The action depends on the state if it should break, too."""
    nodes = [
        helper.make_node("Mul", ["state", "scale"], ["more"]),
        helper.make_node("Add", ["more", "one"], ["next_state"]),
        helper.make_node("Gemm", ["observation", "w"], ["seen"]),
        helper.make_node("Mul", ["more" if output_too else "state", "zero"], ["nothing"]),
        helper.make_node("Add", ["seen", "nothing"], ["action"]),
    ]
    scalars = {"scale": 1e30, "one": 1.0, "zero": 0.0}
    weights = [tensor(name, np.array([value], np.float32)) for name, value in scalars.items()]
    weights.append(tensor("w", np.eye(size, outputs, dtype=np.float32)))
    return recurrent(nodes, size, outputs, 1, weights)


@pytest.mark.parametrize(("output_too", "reason"), [(False, "state_nonfinite"), (True, "output_nonfinite")])
def test_a_state_that_is_not_finite_is_never_remembered(
    tmp_path: Path, tape: Tape, market: Market, specs: dict[str, DeskSpec], output_too: bool, reason: str
) -> None:
    spec = specs["target"]
    network = endless(spec.layout.size, 5, output_too)
    rows = observations(spec.layout.size, 2)
    bundle = load_bundle(write_bundle(tmp_path / "b", network, spec, meta(tape), rows, golden_starts=[0]), True)
    records = [body for kind, body in PaperRun(bundle, market, plan_run(market, spec, None, 6, 0)).records()]
    decisions = [body for body in records if "codes" in body]
    assert [body["reason"] for body in decisions] == ["ok", "ok", *[reason] * 4]
    assert all(body["codes"] == list(spec.idle_codes) for body in decisions[2:])
    assert records[-1]["totals"]["guarded"] == 4
    memory = bundle.policy.begin()
    for _ in range(5):
        verdict = bundle.policy.decide(rows[0], memory)
    assert (verdict.codes, verdict.choice, verdict.reason) == ((), NOBODY, reason)
    assert memory.state.tolist() == [np.float32(1e30)]
    with pytest.raises(BundleError, match=f"golden vector 2: .* not finite: {reason}"):
        write_bundle(tmp_path / "c", network, spec, meta(tape), observations(spec.layout.size, 3), golden_starts=[0])


def test_a_state_of_another_shape_is_refused(make: Make) -> None:
    bundle = make()
    row = observations(bundle.spec.layout.size, 1)[0]
    for wrong in (0, 2 * HIDDEN - 1, 2 * HIDDEN + 1):
        with pytest.raises(PolicyError, match=rf"expected a state of shape \(12,\), got \({wrong},\)"):
            bundle.policy.decide(row, Memory(np.zeros(wrong, np.float32)))


def test_a_hierarchy_may_remember_both_ways(make: Make, specs: dict[str, DeskSpec]) -> None:
    """One memory holds a clock and a state; the guard stops the one and not the other."""
    network = lstm(specs["target"].layout.size, CHOICES + AGENTS * ACTIONS)
    bundle = make(network=network, hierarchy=HIERARCHY)
    memory = bundle.policy.begin()
    assert memory.clock is not None
    for row in observations(bundle.spec.layout.size, 10):
        memory.tick()
        verdict = bundle.policy.decide(row, memory)
        assert verdict.agent == memory.clock.agent >= 0
    assert memory.clock.decisions == 10
    assert np.abs(memory.state).max() > 0


# -- golden vectors are sequences --------------------------------------------------------------------------------------


def edited(bundle: LoadedBundle, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = bundle.path / "manifest.json"
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))
    return bundle.path


def test_golden_vectors_are_walked_from_each_start(make: Make) -> None:
    bundle = make()
    golden = bundle.manifest.golden
    assert (bundle.manifest.state, golden.starts) == (2 * HIDDEN, STARTS)
    network = Lstm(bundle.spec.layout.size, 5)
    for number, row in enumerate(observations(bundle.spec.layout.size)):
        if number in STARTS:
            network.h = network.c = np.zeros(HIDDEN)
        assert [int(np.argmax(network.step(row)))] == golden.codes[number]


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([0], "golden vector 5: raw outputs differ"),
        ([0, 4], "golden vector 4: raw outputs differ"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "need a sequence"),
        (None, "need a sequence"),
        ([5], "expected rising ones from 0"),
        ([0, 5, 5], "expected rising ones from 0"),
        ([5, 0], "expected rising ones from 0"),
        ([0, 8], "expected rising ones from 0"),
        ([], "expected rising ones from 0"),
        (["0"], "malformed"),
    ],
)
def test_other_starts_are_found(make: Make, starts: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(edited(make(), lambda data: data["golden"].update(starts=starts)), allow_ungated=True)


@pytest.mark.parametrize("state", [0, 2 * HIDDEN + 1])
def test_a_manifest_that_states_another_state_is_refused(make: Make, state: int) -> None:
    with pytest.raises(BundleError, match=f"states a state of {state} values, the network has one of 12"):
        load_bundle(edited(make(), lambda data: data.update(state=state)), allow_ungated=True)


def test_other_bundles_are_written_as_before(make_bundle: MakeBundle) -> None:
    data = json.loads((make_bundle("target") / "manifest.json").read_bytes())
    assert "state" not in data
    assert " ".join(sorted(data["golden"])) == "codes observations raw rows"


# -- what must not be loaded -------------------------------------------------------------------------------------------


def test_an_lstm_reads_one_observation_at_a_time() -> None:
    shape = check_model(lstm(8, 5))
    assert (shape.state_name, shape.next_state_name, shape.state) == ("state", "next_state", 12)
    assert check_model(mlp(8, 5)).state == 0
    with pytest.raises(ModelError, match=r"reads a sequence of shape \[4, 1, 2\]"):
        check_model(_with_input_size(lstm(8, 5, sequence=4), 2))


def _with_input_size(data: bytes, size: int) -> bytes:
    """The same network with weights for `size` inputs, as a sequence of smaller rows needs."""
    model = onnx.load_model_from_string(data)
    for index, weight in enumerate(model.graph.initializer):
        if weight.name == "W":
            model.graph.initializer[index].CopyFrom(tensor("W", np.ones((1, 4 * HIDDEN, size), np.float32)))
    return bytes(model.SerializeToString())


def test_a_state_goes_in_and_comes_out() -> None:
    model = onnx.load_model_from_string(endless(8, 5, False))
    model.graph.output.pop()
    with pytest.raises(ModelError, match="two of each, the second ones a state, got 2 and 1"):
        check_model(model.SerializeToString())
    nodes = [
        helper.make_node("Gemm", ["observation", "w"], ["action"]),
        helper.make_node("Concat", ["state", "state"], ["next_state"], axis=1),
    ]
    model = onnx.load_model_from_string(recurrent(nodes, 3, 3, 2, [tensor("w", np.eye(3, dtype=np.float32))]))
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 4
    with pytest.raises(ModelError, match="given a state of 2 values and leaves one of 4"):
        check_model(model.SerializeToString())
    nodes[1] = helper.make_node("Identity", ["state"], ["next_state"])
    wide = recurrent(nodes, 3, 3, 5000, [tensor("w", np.eye(3, dtype=np.float32))])
    with pytest.raises(ModelError, match=r"state of shape \[1, 1..4096\]"):
        check_model(wide)
    assert check_model(linear(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))).state_name == ""
