"""The leaderboard: exact, repeatable, complete, and honest about what it compares."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lobgym.agents.baselines import RandomCodes, StaticGrid, make_baseline
from lobgym.agents.policy import Policy
from lobgym.agents.sb3.config import PpoSettings, TrainConfig
from lobgym.agents.sb3.train import train
from lobgym.envs import HorizonError
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.experiments.evaluation.leaderboard import (
    Entry,
    Leaderboard,
    build_leaderboard,
    leaderboard_json,
    render_table,
    trained_entry,
)
from lobgym.experiments.evaluation.study import Study
from lobgym.runtime.errors import PolicyError
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.tape import Tape, open_tape


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth?minutes=2"))


@pytest.fixture(scope="module")
def evaluator(market: Market) -> Evaluator:
    return Evaluator(market, EvalConfig(episodes=3, horizon=40))


@pytest.fixture(scope="module")
def specs(market: Market) -> list[DeskSpec]:
    return [DeskSpec.for_market(market, kind) for kind in ("grid", "target")]


@pytest.fixture(scope="module")
def board(evaluator: Evaluator, specs: list[DeskSpec]) -> Leaderboard:
    narrow = Entry((StaticGrid(specs[0], spacing=2),), specs[0], "trained", "narrow")
    return build_leaderboard(evaluator, [narrow], specs, command="lobgym leaderboard", tape_name="synth?minutes=2")


def test_every_fixed_policy_takes_part(board: Leaderboard) -> None:
    data = leaderboard_json(board)
    assert {(row["policy"], row["env"]) for row in data["rows"] if row["kind"] == "fixed"} == {
        ("flat", "grid"),
        ("random", "grid"),
        ("static-grid", "grid"),
        ("natr-grid", "grid"),
        ("flat", "target"),
        ("always-long", "target"),
        ("random", "target"),
    }
    means = [row["pnl"]["mean"] for row in data["rows"]]
    assert means == sorted(means, reverse=True)
    assert [row["rank"] for row in data["rows"]] == list(range(1, len(means) + 1))
    for row in data["rows"]:
        assert row["pnl"]["low"] <= row["pnl"]["mean"] <= row["pnl"]["high"]
        assert [one["seed"] for one in row["per_seed"]] == [0, 1, 2, 3, 4]
    flat = next(row for row in data["rows"] if row["policy"] == "flat")
    assert flat["pnl"]["mean"] == flat["turnover"] == flat["fees"] == 0.0
    assert flat["pnl_bps"] is None
    assert flat["fill_rate"] is None


def test_the_json_says_how_to_get_it_again(board: Leaderboard, market: Market) -> None:
    data = leaderboard_json(board)
    assert data["command"] == "lobgym leaderboard"
    assert data["tape"]["digest"] == market.tape.digest
    assert data["params_digest"] == SimParams().digest
    assert data["seeds"] == [0, 1, 2, 3, 4]
    assert json.loads(json.dumps(data)) == data


def test_the_same_twice(evaluator: Evaluator, specs: list[DeskSpec], board: Leaderboard) -> None:
    narrow = Entry((StaticGrid(specs[0], spacing=2),), specs[0], "trained", "narrow")
    again = build_leaderboard(evaluator, [narrow], specs, command="lobgym leaderboard", tape_name="synth?minutes=2")
    assert leaderboard_json(again) == leaderboard_json(board)


def test_metrics_against_a_plain_loop(evaluator: Evaluator, specs: list[DeskSpec], market: Market) -> None:
    """Oracle: one lane at a time, figures from the fill log and the account."""
    spec, policy = specs[0], StaticGrid(specs[0], spacing=2)
    metrics = evaluator.run([policy], spec, "fixed").per_seed[1]
    config = evaluator.config
    pnl = fees = turnover = fills = 0
    for episode, start in enumerate(config.starts(market, 1, spec.interval_ns)):
        desk = Desk(spec, market, 1, "fills", 4096)
        desk.reset(int(start), 1024 + episode)
        policy.reset(1, 1024 + episode)
        observation = desk.observe()
        for _ in range(config.horizon):
            desk.plan(desk.action.decode(policy.act(observation)))
            desk.commit()
            desk.advance()
            observation = desk.observe()
        pnl += desk.equity()
        log = desk.session.drain_fills()
        fees += int(log["fee"].sum())
        turnover += int(np.abs(log["cash"]).sum())
        fills += len(log)
    assert metrics.pnl_units == pnl
    assert metrics.fills == fills > 0
    assert metrics.fees == pytest.approx(fees * 1e-8 / 3, rel=1e-12)
    assert metrics.turnover == pytest.approx(turnover * 1e-8 / 3, rel=1e-12)
    assert metrics.pnl_bps == pytest.approx(pnl / turnover * 1e4, rel=1e-12)
    assert metrics.max_drawdown >= 0
    assert 0 < metrics.fill_rate <= 1  # type: ignore[operator]


def test_the_trace_is_the_first_episode(evaluator: Evaluator, specs: list[DeskSpec]) -> None:
    trace = evaluator.run([StaticGrid(specs[0], spacing=2)], specs[0], "fixed").trace
    steps = evaluator.config.horizon + 1
    assert len(trace.time_s) == len(trace.equity) == len(trace.inventory) == len(trace.price) == steps
    bought = sum(fill["qty"] * fill["side"] for fill in trace.fills)
    assert trace.inventory[-1] == pytest.approx(bought, abs=1e-9)
    assert all(0 <= fill["time_s"] <= trace.time_s[-1] for fill in trace.fills)


def test_starts_lie_within_the_split_and_differ_by_seed(evaluator: Evaluator) -> None:
    config = evaluator.config
    starts = np.concatenate([config.starts(evaluator.market, seed, 500_000_000) for seed in config.seeds])
    low, high = config.span_ns(evaluator.market, 500_000_000)
    assert high == evaluator.market.end_ns
    assert low == pytest.approx(high - 0.3 * (high - evaluator.market.start_ns), abs=2)
    assert (starts >= low).all()
    assert (starts + config.horizon * 500_000_000 <= high).all()
    assert len(np.unique(starts)) == len(starts)


def test_one_policy_per_seed(evaluator: Evaluator, specs: list[DeskSpec]) -> None:
    """Models of several training seeds: seed i meets policy i."""
    many: list[Policy] = [StaticGrid(specs[0], spacing=spacing) for spacing in (0, 1, 2, 3, 4)]
    mixed = evaluator.run(many, specs[0], "trained", "ppo")
    third = evaluator.run([many[2]], specs[0], "trained")
    assert mixed.policy == "ppo"
    assert mixed.per_seed[2] == third.per_seed[2]
    assert mixed.per_seed[1] != third.per_seed[1]


def test_a_policy_that_peeks_at_its_batch_is_found_out(evaluator: Evaluator, specs: list[DeskSpec]) -> None:
    class Peeking(RandomCodes):
        def reset(self, lanes: int, seed: int = 0) -> None:
            super().reset(lanes, seed + lanes)

    with pytest.raises(EvaluationError, match="a lone lane earned"):
        evaluator.run([Peeking(specs[0])], specs[0], "fixed")


def test_unfair_comparisons_are_refused(evaluator: Evaluator, specs: list[DeskSpec], market: Market) -> None:
    flat = make_baseline("flat", specs[0], 1.0)
    with pytest.raises(EvaluationError, match="1 policy or one for each of 5"):
        evaluator.run([flat, flat], specs[0], "fixed")
    free = specs[0].replace(params=SimParams(maker_fee_ppb=0))
    with pytest.raises(EvaluationError, match="one venue"):
        build_leaderboard(evaluator, [Entry((flat,), free, "trained", "x")], specs, command="", tape_name="")
    few = Evaluator(market, EvalConfig(seeds=(0, 1)))
    with pytest.raises(EvaluationError, match="at least 5 seeds"):
        build_leaderboard(few, [], specs, command="", tape_name="")
    with pytest.raises(HorizonError, match="shorter horizon"):
        EvalConfig(horizon=10_000).starts(market, 0, 500_000_000)
    with pytest.raises(EvaluationError, match="distinct seeds"):
        EvalConfig(seeds=(1, 1))


def test_makers_are_evaluated_and_parent_orders_are_not(evaluator: Evaluator, market: Market) -> None:
    maker = DeskSpec.for_market(market, "maker")
    mid_ticks = Desk(maker, market).mid2() / 2
    quoted = evaluator.run((make_baseline("fixed-maker", maker, mid_ticks),), maker, "fixed")
    idle = evaluator.run((make_baseline("flat", maker, mid_ticks),), maker, "fixed")
    assert all(metrics.fill_rate is not None for metrics in quoted.per_seed)  # orders were sent
    assert all(metrics.fill_rate is None and metrics.pnl_units == 0 for metrics in idle.per_seed)
    parent = DeskSpec.for_market(market, "execution")
    with pytest.raises(EvaluationError, match="parent orders"):
        evaluator.run((make_baseline("twap", parent, mid_ticks),), parent, "fixed")


def test_the_files(board: Leaderboard, tmp_path: Path) -> None:
    gates = {"ok": True, "gates": [{"name": "G0", "ok": True, "summary": "<b>all is well</b>"}]}
    data_path, page_path = board.write(tmp_path, gates)
    assert json.loads(data_path.read_text()) == leaderboard_json(board)
    page = page_path.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "leaderboard.json"]
    assert "&lt;b&gt;all is well&lt;/b&gt;" in page
    assert "narrow" in page
    assert page.count("<svg") >= 4 + len(board.evaluations)
    # Nothing is loaded from anywhere.
    assert not re.search(r"(src|href)\s*=|https?://|@import|url\(|<script", page)
    first = page_path.read_bytes()
    board.write(tmp_path, gates)
    assert page_path.read_bytes() == first


def test_the_terminal_table(board: Leaderboard) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_table(board))
    text = console.export_text()
    for one in board.evaluations:
        assert one.policy in text


def test_a_run_folder_takes_part_with_its_exported_policy(evaluator: Evaluator, tmp_path: Path) -> None:
    """Untrained networks will do: one run per seed, judged at the desk that they were trained at."""
    config = TrainConfig(
        tape="synth?minutes=2",
        total_steps=16,
        num_envs=2,
        horizon=10,
        hidden=(8,),
        embargo_ns=0,
        ppo=PpoSettings(rollout_steps=8, batch_size=16, epochs=1),
    )
    folders = [train(config.replace(seed=seed, out=str(tmp_path / str(seed)))).folder for seed in range(5)]
    entry = trained_entry(folders, "ppo")
    result = evaluator.run(entry.policies, entry.spec, entry.kind, entry.name)
    assert (result.policy, result.kind, len(entry.policies)) == ("ppo", "trained", 5)
    one = trained_entry(folders[:1])
    assert evaluator.run(one.policies, one.spec, one.kind).per_seed[0] == result.per_seed[0]
    other = train(config.replace(desk={"order_lots": 1}, out=str(tmp_path / "other"))).folder
    with pytest.raises(EvaluationError, match="2 desks"):
        trained_entry([folders[0], other])
    with pytest.raises(EvaluationError, match="0 desks"):
        trained_entry([])


def test_policies_of_another_instrument_are_refused(tmp_path: Path) -> None:
    """Ticks and lots of a spec mean something else elsewhere."""
    config = TrainConfig(
        tape="synth?minutes=2",
        total_steps=16,
        num_envs=2,
        horizon=10,
        hidden=(8,),
        embargo_ns=0,
        ppo=PpoSettings(rollout_steps=8, batch_size=16, epochs=1),
        out=str(tmp_path / "run"),
    )
    folder = train(config).folder
    tape = open_tape("synth?minutes=4")
    path = tmp_path / "other.parquet"
    Tape(tape.events, dataclasses.replace(tape.instrument, symbol="OTHER"), tape.provenance).save(path)
    assert len(Study.of("synth?minutes=4").entries([folder])) == 1
    with pytest.raises(PolicyError, match="symbol differs"):
        Study.of(str(path)).entries([folder])
