"""Goal: a rule that leaves as ONNX decides what it decided in numpy, row for row, and a runtime takes it.

Method: every exportable baseline of a suite, on observations that it met while it traded, on random ones and on the
extremes of their space, through the runtime's own loader; the operators alone on random columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lobgym.agents.baselines import Suite, make_baseline, make_suite
from lobgym.agents.baselines.alpha import FOLLOW, TARGETS, SignalTable
from lobgym.agents.baselines.arrays import NUMPY, Steps
from lobgym.agents.baselines.rule import ObservationRule
from lobgym.agents.errors import ExportError
from lobgym.agents.onnx.mirrors import _TORCH as TORCH
from lobgym.agents.onnx.mirrors import RuleModule, export_rule
from lobgym.agents.onnx.parity import extreme_observations
from lobgym.runtime.bundle import load_bundle, write_bundle
from lobgym.runtime.policy import OnnxPolicy
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.tape import open_tape

EXPORTED = {
    "flat", "static-grid", "natr-grid", "regime-grid", "adaptive-grid", "adaptive-grid-throttled", "always-long",
    "always-short", "buy-and-hold", "imbalance-taker", "threshold", "threshold-band", "linear", "linear-band",
    "fixed-maker", "avellaneda-stoikov", "avellaneda-stoikov-calibrated", "glft", "fixed-maker-throttled",
}  # fmt: skip
STAY = {"random", "random-matched", "twap-into", "regime-router"}


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth:volatile?seed=3&minutes=6"))


@pytest.fixture(scope="module")
def suite(market: Market) -> Suite:
    return make_suite(market, market.start_ns, market.start_ns + 240_000_000_000)


def met(market: Market, policy: ObservationRule, steps: int = 60) -> np.ndarray:
    """float32[N, D]: what eight lanes observed while the policy traded."""
    desk = Desk(policy.spec, market, 8)
    desk.reset(market.start_ns + np.arange(8) * 30_000_000_000)
    rows = [desk.observe()]
    for _ in range(steps):
        rows.append(desk.step(desk.action.decode(policy.act(rows[-1])))[0])
    return np.concatenate(rows)


def test_every_rule_of_the_suite_decides_in_a_runtime_as_in_numpy(market: Market, suite: Suite) -> None:
    done = set()
    for entry in suite.entries:
        if not isinstance(entry.policy, ObservationRule):
            assert entry.name in STAY
            continue
        data = export_rule(entry.policy)
        runtime = OnnxPolicy(data, entry.spec)
        size = entry.spec.layout.size
        noise = np.random.default_rng(1).uniform(-1.0, 1.0, (200, size)).astype(np.float32)
        rows = np.concatenate([met(market, entry.policy), noise, extreme_observations(size, corners=32)])
        wanted = entry.spec.action.decode(entry.policy.act(rows))
        found = np.array([runtime.decode(runtime.infer(row)) for row in rows])
        assert np.array_equal(found, wanted), entry.name
        done.add(entry.name)
    assert done == EXPORTED - {name.split(" ")[0] for name in suite.skipped}


def test_execution_rules_leave_too(market: Market) -> None:
    spec = DeskSpec.for_market(market, "execution")
    rows = np.random.default_rng(2).uniform(-1.0, 1.0, (300, spec.layout.size)).astype(np.float32)
    for name in ("twap", "pov", "immediate"):
        policy = make_baseline(name, spec, 6e5)
        runtime = OnnxPolicy(export_rule(policy), spec)
        wanted = spec.action.decode(policy.act(rows))
        assert np.array_equal([runtime.decode(runtime.infer(row)) for row in rows], wanted)


def test_the_table_of_a_signal_leaves_too(market: Market) -> None:
    layout = ObservationLayout(("spread", "imbalance_1", "inventory"))
    spec = DeskSpec.for_market(market, "target", targets=TARGETS, layout=layout)
    for table in (FOLLOW, ((-1, -1, -1), (-1, 0, 1), (1, 1, 1)), ((0, 1, -1), (1, 0, 0), (-1, 1, 0))):
        policy = SignalTable(spec, table, 0.3, "table")
        runtime = OnnxPolicy(export_rule(policy), spec)
        rows = np.random.default_rng(2).uniform(-1.0, 1.0, (300, 3)).astype(np.float32)
        wanted = spec.action.decode(policy.act(rows))
        assert np.array_equal([runtime.decode(runtime.infer(row)) for row in rows], wanted)


def test_a_bundle_of_a_rule_is_loaded_and_the_same_twice(market: Market, suite: Suite, tmp_path: Path) -> None:
    entry = next(one for one in suite.entries if one.name == "adaptive-grid-throttled")
    assert isinstance(entry.policy, ObservationRule)
    first = export_rule(entry.policy)
    assert first == export_rule(entry.policy)
    meta = {
        "instrument": market.instrument.to_json(),
        "tape_digests": [market.tape.digest],
        "seed": 0,
        "algo": entry.name,
        "training_steps": 0,
    }
    rows = met(market, entry.policy)[:32]
    codes = entry.spec.action.decode(entry.policy.act(rows))
    folder = write_bundle(tmp_path / "bundle", first, entry.spec, meta, rows, entry.policy.act(rows), codes)
    assert load_bundle(folder, tolerate_mismatch=True).manifest.algo == entry.name


def test_what_remembers_stays_here(market: Market) -> None:
    spec = DeskSpec.for_market(market, "target")
    for name in ("random", "twap-into"):
        with pytest.raises(ExportError, match="not a function of the observation alone"):
            export_rule(make_baseline(name, spec, 6e5))


def test_a_graph_says_nothing_of_the_machine_that_made_it(suite: Suite) -> None:
    entry = next(one for one in suite.entries if one.name == "adaptive-grid")
    model = onnx.load_model_from_string(export_rule(entry.policy))
    assert {node.name for node in model.graph.node} == {f"n{k}" for k in range(len(model.graph.node))}
    assert not any(node.doc_string for node in model.graph.node)


def test_both_sides_of_the_operators_agree() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    a, b = rng.normal(size=(500, 1)).round(1), rng.normal(size=(500, 1)).round(1)
    steps = Steps(np.sort(rng.normal(size=9).round(1)), rng.integers(-4, 5, 10))
    uneven = Steps([-0.5, 0.1, 0.7], [0.1, 0.7, 0.3, 1e-9])
    mask = (rng.random((500, 1)) < 0.5).astype(float)
    ta, tb, tmask = (torch.from_numpy(x) for x in (a, b, mask))
    for mine, theirs in [
        (NUMPY.over(a, b), TORCH.over(ta, tb)),
        (NUMPY.over(a, 0.5), TORCH.over(ta, 0.5)),
        (NUMPY.pick(mask, a, b), TORCH.pick(tmask, ta, tb)),
        (NUMPY.steps(a, steps), TORCH.steps(ta, steps)),
        (NUMPY.steps(a, uneven), TORCH.steps(ta, uneven)),
        (NUMPY.steps(a, Steps([], [3.0])), TORCH.steps(ta, Steps([], [3.0]))),
        (NUMPY.maximum(a, b), TORCH.maximum(ta, tb)),
        (NUMPY.minimum(a, 0.3), TORCH.minimum(ta, 0.3)),
        (NUMPY.absolute(a), TORCH.absolute(ta)),
        (NUMPY.constant(a, [1.0, 2.0]), TORCH.constant(ta, [1.0, 2.0])),
        (NUMPY.join([a, b]), TORCH.join([ta, tb])),
    ]:
        assert np.array_equal(mine, theirs.numpy())


def test_a_wrong_table_would_be_seen(market: Market) -> None:
    """The comparison fails where the two sides do not mean the same: here one edge is moved after the export."""
    policy = make_baseline("natr-grid", DeskSpec.for_market(market, "grid"), 6e5)
    assert isinstance(policy, ObservationRule)
    module = RuleModule(policy)
    rows = np.random.default_rng(2).uniform(-1.0, 1.0, (500, policy.spec.layout.size)).astype(np.float32)
    with torch.no_grad():
        before = policy.spec.action.decode(module(torch.from_numpy(rows)).numpy())
    assert np.array_equal(before, policy.spec.action.decode(policy.act(rows)))
    policy._spacing.edges[3] *= 1.5  # type: ignore[attr-defined]
    assert not np.array_equal(before, policy.spec.action.decode(policy.act(rows)))
