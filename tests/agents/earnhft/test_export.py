"""An exported hierarchy is the hierarchy: every value, every choice, every agent, every action."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest

from lobgym.agents.earnhft.export import export_agent, export_router, hierarchy_graph
from lobgym.agents.earnhft.hierarchy import HierarchyPolicy
from lobgym.agents.earnhft.network import QPolicy, QWeights, q_values
from lobgym.agents.earnhft.parity import OnnxHierarchy, check_agent, check_hierarchy, collect_episodes
from lobgym.agents.errors import ExportError, PolicyError
from lobgym.agents.onnx.parity import OnnxPolicy, extreme_observations
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.tape import open_tape
from tests.agents.earnhft.pools import HIGH, LOW, hierarchy, network, spec_for


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth?seed=5&minutes=2"))


@pytest.fixture(scope="module")
def spec(market: Market) -> DeskSpec:
    return spec_for(market)


def met_by(policy: Any, spec: DeskSpec, market: Market, rows: int = 3_000) -> np.ndarray:
    return collect_episodes(policy, spec, market, market.start_ns, market.end_ns, rows, lanes=16)


@pytest.mark.parametrize("nearest", [True, False])
def test_every_decision_is_equal(market: Market, spec: DeskSpec, nearest: bool) -> None:
    policy = hierarchy(spec, nearest=nearest)
    report = check_hierarchy(policy, hierarchy_graph(policy), met_by(policy, spec, market), observations_min=3_000)
    assert report.ok, report.problems
    assert report.flips == 0
    assert report.first_flip == -1
    assert report.observations == 16 * 188 + report.extremes
    assert report.distinct_actions == 5
    assert report.choices == 3
    assert report.agents == 6
    assert report.silent_flips == 0
    assert 0.0 < report.margin_min <= report.margin_p01
    assert report.to_json()["agents"] == 6


def test_another_pool_another_clock_or_another_row_is_found_out(market: Market, spec: DeskSpec) -> None:
    policy = hierarchy(spec)
    met, export = met_by(policy, spec, market), hierarchy_graph(policy)
    mixed = [row[::-1] for row in export.hierarchy["members"]]
    for changes in ({"macro_steps": 8}, {"members": mixed}, {"positions": [-0.5, 0.0, 0.5, 0.75, 1.0]}):
        changed = dataclasses.replace(export, hierarchy=export.hierarchy | changes)
        report = check_hierarchy(policy, changed, met, observations_min=3_000)
        assert report.flips > 0, changes
        assert report.first_flip >= 0
        assert not report.ok
    other = hierarchy_graph(hierarchy(spec, seed=500))
    report = check_hierarchy(policy, other, met, observations_min=3_000)
    assert report.raw_difference_max > 0.1
    with pytest.raises(ExportError, match="decisions differ"):
        report.require_ok()


def test_never_trading_is_a_decision_but_saying_nothing_is_no_proof(market: Market, spec: DeskSpec) -> None:
    """A last bias that outweighs all else keeps every agent flat; without weights the values are constant."""
    policy = hierarchy(spec)
    flat = np.array([0, 0, 1e3, 0, 0], np.float32)
    agents = [dataclasses.replace(agent, b3=flat) for agent in policy.pool.agents]
    idle = HierarchyPolicy(dataclasses.replace(policy.pool, agents=tuple(agents)), policy.router, spec, 7)
    report = check_hierarchy(idle, hierarchy_graph(idle), met_by(idle, spec, market), observations_min=3_000)
    assert report.ok, report.problems
    assert report.distinct_actions == 1

    def dead(weights: QWeights) -> QWeights:
        return dataclasses.replace(weights, w3=np.zeros_like(weights.w3))

    pool = dataclasses.replace(policy.pool, agents=tuple(dead(agent) for agent in agents))
    silent = HierarchyPolicy(pool, dead(policy.router), spec, 7)
    report = check_hierarchy(silent, hierarchy_graph(silent), met_by(silent, spec, market), observations_min=3_000)
    assert report.problems == ("1 distinct outcomes, at least 3 are needed: nothing was compared",)


def test_the_whole_graph_is_the_sum_of_its_parts(market: Market, spec: DeskSpec) -> None:
    """The router's export and every agent's, each alone, give the columns of the hierarchy's row."""
    policy = hierarchy(spec)
    rows = np.concatenate([met_by(policy, spec, market, 64)[:, 0], extreme_observations(spec.layout.size, 16)])
    served = OnnxHierarchy(hierarchy_graph(policy), spec)
    router, agents = served.parts(served.network.raw(rows))
    held, names = rows[:, spec.layout.names.index("inventory")], spec.layout.names
    alone = OnnxPolicy(export_router(policy.router, spec), discrete=True).raw(rows)
    assert np.abs(alone - router).max() < 1e-5
    for number, agent in enumerate(policy.pool.agents):
        alone = OnnxPolicy(export_agent(agent, spec), discrete=True)
        expected = q_values(agent, rows[:, [names.index(name) for name in agent.columns]], held)
        assert np.abs(alone.raw(rows) - expected).max() < 1e-5
        assert np.abs(alone.raw(rows) - agents[:, number]).max() < 1e-5
        assert np.array_equal(alone.act(rows), QPolicy(agent, spec).act(rows))


def test_an_agent_alone_decides_as_in_torch_and_numpy(market: Market, spec: DeskSpec) -> None:
    agent = network(3, LOW)
    met = met_by(QPolicy(agent, spec), spec, market).reshape(-1, spec.layout.size)
    report = check_agent(agent, spec, export_agent(agent, spec), met, observations_min=3_000)
    assert report.ok, report.problems
    assert report.distinct_actions == 5
    other = check_agent(agent, spec, export_agent(network(4, LOW), spec), met, observations_min=3_000)
    assert other.flips > 0


def test_equal_hierarchies_export_equal_bytes(spec: DeskSpec) -> None:
    one, again = (hierarchy_graph(hierarchy(spec)) for _ in range(2))
    assert one == again
    graph = onnx.load_model_from_string(one.onnx)
    assert all("/" not in text for node in graph.graph.node for text in (node.name, *node.input, *node.output))
    assert b"site-packages" not in one.onnx


def test_what_does_not_fit_is_refused(market: Market, spec: DeskSpec) -> None:
    narrow = spec.replace(layout=ObservationLayout(("spread", "inventory")))
    blind = spec.replace(layout=ObservationLayout((*LOW, *HIGH[:3])))
    agent = network(1, LOW)
    for desk in (narrow, blind):
        with pytest.raises(ExportError, match="layout lacks"):
            export_agent(agent, desk)
    with pytest.raises(ExportError, match="5 targets, got 3"):
        export_agent(network(1, LOW, actions=3), spec)
    policy = hierarchy(spec)
    with pytest.raises(PolicyError, match="finite"):
        check_hierarchy(policy, hierarchy_graph(policy), np.full((2, 3, spec.layout.size), np.nan, np.float32))
    policy.reset(3)
    with pytest.raises(PolicyError, match="3 lanes"):
        policy.act(np.zeros((2, spec.layout.size), np.float32))
