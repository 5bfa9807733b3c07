"""The leaderboard over many markets: complete, resumable, the same however it is computed, each row repeatable.

Method: two short synthetic markets, few episodes. The cells are compared with the single-market evaluation, the ranking
with scipy, an interrupted suite with an undisturbed one, and commands of rows are typed again.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from lobgym.agents.baselines import available_baselines, make_baseline
from lobgym.agents.errors import JobError
from lobgym.agents.sb3.config import PpoSettings, TrainConfig
from lobgym.agents.sb3.train import train
from lobgym.agents.trials import LEDGER_FILE, read_trials
from lobgym.experiments.bundles.served import ServedPolicy
from lobgym.experiments.cli import app
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import Evaluator
from lobgym.experiments.evaluation.study import Study
from lobgym.experiments.suite.board import SuiteBoard
from lobgym.experiments.suite.plan import SuitePlan
from lobgym.experiments.suite.run import Workers, run_suite
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.engine import DECISION
from lobgym.runtime.journal import read_journal
from lobgym.runtime.paper import run_paper
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape
from tests.runtime.fixtures import MakeBundle, make_bundle, market, specs, tape
from tests.runtime.models import mlp
from tests.runtime.test_hierarchy import ACTIONS, AGENTS, CHOICES
from tests.runtime.test_hierarchy import PLAN as HIERARCHY

__all__ = ["make_bundle", "market", "specs", "tape"]  # fixtures

TAPES = ("synth?seed=5&minutes=3", "synth?seed=6&minutes=3")
PLAN = SuitePlan(TAPES, seeds=5, episodes=2)
SERIAL = Workers(backend="serial")
LABELS = {f"{name}@{kind}" for kind in ("grid", "target", "maker") for name in available_baselines(kind, suite=True)}


def run(root: Path, workers: Workers = SERIAL, plan: SuitePlan = PLAN, **given: Any) -> SuiteBoard:
    board = run_suite(plan, root, command="lobgym leaderboard", workers=workers, **given)
    board.write(root)
    return board


def label(row: dict[str, Any]) -> str:
    return f"{row['policy']}@{row['env']}"


def written(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in ("leaderboard.json", "leaderboard.md", "index.html")}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished suite, to be read only."""
    folder = tmp_path_factory.mktemp("suite") / "board"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def data(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "leaderboard.json").read_bytes())
    return found


def test_every_policy_meets_every_market(data: dict[str, Any]) -> None:
    assert {label(row) for row in data["rows"]} == LABELS
    assert [row["rank"] for row in data["rows"]] == list(range(1, len(LABELS) + 1))
    scores = [row["score"]["iqm"] for row in data["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert [one["name"] for one in data["markets"]] == list(TAPES)
    for one in data["markets"]:
        assert one["tape_digest"] == open_tape(one["name"]).digest
        assert {label(row) for row in one["rows"]} == LABELS
        means = [row["score"]["mean"] for row in one["rows"]]
        assert means == sorted(means, reverse=True)
    flat = next(row for row in data["rows"] if label(row) == "flat@grid")
    assert flat["score"]["iqm"] == flat["mean"] == 0.0
    assert not flat["trades"]
    assert next(row for row in data["rows"] if label(row) == "random@target")["trades"]


@pytest.mark.parametrize("who", ["natr-grid@grid", "random@target"])
def test_a_cell_is_what_the_single_market_gives(data: dict[str, Any], who: str) -> None:
    """Oracle: the evaluation that `lobgym leaderboard --tape` does, and the score computed by hand."""
    name, _, kind = who.partition("@")
    study = Study.of(TAPES[1])
    spec = study.spec(kind)
    evaluator = Evaluator(study.market, study.evaluation(PLAN.seeds, PLAN.episodes))
    policy = make_baseline(name, spec, Desk(spec, study.market).mid2() / 2)
    expected = evaluator.run([policy], spec, "fixed").per_seed
    cell = next(row for row in data["markets"][1]["rows"] if label(row) == who)
    assert [one["pnl_units"] for one in cell["per_seed"]] == [one.pnl_units for one in expected]
    assert cell["turnover"] == pytest.approx(sum(one.turnover for one in expected) / len(expected), rel=1e-12)

    made, target = study.market.instrument, DeskSpec.for_market(study.market, "target")
    price = float(made.tick_size) * Desk(target, study.market).mid2() / 2
    limit = float(made.lots_to_qty(target.position_lots_max)) * float(made.contract_size) * price
    assert cell["score_bps"] == pytest.approx([1e4 * one.pnl / limit for one in expected], rel=1e-3)
    row = next(row for row in data["rows"] if label(row) == who)
    scores = [x for market in data["markets"] for one in market["rows"] if label(one) == who for x in one["score_bps"]]
    assert row["score"]["iqm"] == pytest.approx(stats.trim_mean(scores, 0.25), rel=1e-9)
    assert row["score"]["low"] <= row["score"]["iqm"] <= row["score"]["high"]


def test_a_suite_that_was_stopped_goes_on_to_the_same_bytes(root: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("cells", 7):
            raise KeyboardInterrupt

    folder = tmp_path / "board"
    with pytest.raises(KeyboardInterrupt):
        run(folder, replace(SERIAL, progress=stop))
    assert not (folder / "index.html").exists()
    seen: list[tuple[str, int, int]] = []
    run(folder, replace(SERIAL, progress=lambda *told: seen.append(told)))
    assert seen[0] == ("markets", 2, 2)  # both were there
    assert next(told for told in seen if told[0] == "cells") == ("cells", 7, 2 * len(LABELS))
    assert written(folder) == written(root)


def test_workers_and_another_place_change_nothing(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(root, folder)
    for cell in sorted((folder / "cells").iterdir())[:5]:  # the lock is one of them
        if cell.is_dir():
            shutil.rmtree(cell)
    seen: list[tuple[str, int, int]] = []
    run(folder, Workers(2, "loky", lambda *told: seen.append(told)))
    assert next(told for told in seen if told[0] == "cells")[1] >= 2 * len(LABELS) - 5  # only the missing ones
    assert written(folder) == written(root)


@pytest.mark.parametrize("number", [0, -1])
def test_the_command_of_a_row_repeats_it(data: dict[str, Any], tmp_path: Path, number: int) -> None:
    row = data["rows"][number]
    words = shlex.split(row["command"])
    assert words[:2] == ["lobgym", "leaderboard"]
    options = ["--out", str(tmp_path / "again"), "--backend", "serial", "--json"]
    result = CliRunner().invoke(app, [*words[1:], *options], catch_exceptions=False)
    assert result.exit_code == 0
    again = json.loads(result.stdout)
    assert [label(one) for one in again["rows"]] == [label(row)]
    assert again["rows"][0]["digest"] == row["digest"]
    # And a cell by its own command, on its market alone.
    cell = next(one for one in data["markets"][0]["rows"] if label(one) == label(row))
    words = shlex.split(cell["command"])
    result = CliRunner().invoke(app, [*words[1:], *options], catch_exceptions=False)
    assert json.loads(result.stdout)["markets"][0]["rows"][0]["digest"] == cell["digest"]


def test_a_bundle_takes_part_and_is_counted_as_a_trial(make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_bundle("target", "mine")
    board = run(tmp_path / "suite", bundles=[folder], only=["mine@target", "flat@target", "random@target"])
    row = next(row for row in board.data["rows"] if row["policy"] == "mine")
    assert row["kind"] == "trained"
    assert row["rank"] is not None
    assert row["trades"]
    assert board.data["lead"]["trained"] == "mine@target"
    assert board.data["lead"]["fixed"] == "flat@target"
    trials = read_trials(tmp_path / LEDGER_FILE)
    assert [trial.kind for trial in trials] == ["leaderboard"] * 2
    assert board.data["trials"] == 2
    again = run(tmp_path / "suite", bundles=[folder], only=["mine@target", "flat@target", "random@target"])
    assert again.data == board.data, "the same trial again is no second one"
    # Its row's command names the bundle, and gives it again.
    words = shlex.split(row["command"])
    assert words[words.index("--bundle") + 1] == str(folder)
    result = CliRunner().invoke(
        app, [*words[1:], "--out", str(tmp_path / "b"), "--backend", "serial", "--json"], catch_exceptions=False
    )
    assert json.loads(result.stdout)["rows"][0]["digest"] == row["digest"]


def test_runs_take_part_as_networks_one_for_each_seed_and_never_on_what_they_saw(tmp_path: Path) -> None:
    config = TrainConfig(
        tape=TAPES[0],
        total_steps=16,
        num_envs=2,
        horizon=10,
        hidden=(8,),
        ppo=PpoSettings(rollout_steps=8, batch_size=16, epochs=1),
        env="target",
        test_fraction=0.3,
        embargo_ns=30_000_000_000,
    )
    folders = [train(config.replace(seed=seed, out=str(tmp_path / str(seed)))).folder for seed in range(5)]
    board = run(tmp_path / "suites" / "a", runs=folders, only=["ppo@target", "flat@target"])
    row = next(row for row in board.data["rows"] if row["policy"] == "ppo")
    assert (row["kind"], row["markets"], row["trained_on"]) == ("trained", 2, [TAPES[0]])
    assert len(set(row["sha256"])) == 5
    # The first alone meets seed 0 as it did among the five; its results are those of its network, wherever it lies.
    alone = run(tmp_path / "suites" / "b", runs=folders[:1], only=["ppo@target"])
    for together, single in zip(board.data["markets"], alone.data["markets"], strict=True):
        among = next(one for one in together["rows"] if one["policy"] == "ppo")
        assert among["per_seed"][0] == single["rows"][0]["per_seed"][0]
    with pytest.raises(EvaluationError, match="expected 1 run of ppo@target, or one for each of 5 seeds"):
        run(tmp_path / "suites" / "c", runs=folders[:2])
    greedy = train(config.replace(test_fraction=0.1, out=str(tmp_path / "greedy"))).folder
    with pytest.raises(EvaluationError, match="cut otherwise: it may have seen the test part"):
        run(tmp_path / "suites" / "d", runs=[greedy])


def test_a_hierarchy_is_ranked_by_the_decisions_that_it_takes_in_service(
    make_bundle: MakeBundle, specs: dict[str, DeskSpec], market: Market, tape: Tape, tmp_path: Path
) -> None:
    """Oracle: the paper run's record, decision by decision; in a batch each lane has a clock of its own."""
    network = mlp(specs["target"].layout.size, CHOICES + AGENTS * ACTIONS, seed=4)
    bundle = load_bundle(make_bundle("target", "chain", network, hierarchy=HIERARCHY), allow_ungated=True)
    run_paper(bundle, tape, tmp_path / "j", steps=60, market=market)
    recorded = [one.body["codes"] for one in read_journal(tmp_path / "j").records if one.kind == DECISION]
    policy = ServedPolicy.of(bundle, ranked=True)
    for lanes in (1, 3):
        desk = Desk(bundle.spec, market, lanes)
        desk.reset(np.full(lanes, market.start_ns, np.int64), 0)
        policy.reset(lanes)
        seen = desk.observe()
        for codes in recorded:
            acted = desk.action.decode(policy.act(seen))
            assert acted.tolist() == [codes] * lanes
            seen, _ = desk.step(acted)
    board = run(tmp_path / "suite", bundles=[bundle.path], only=["chain@target"])
    assert board.data["rows"][0]["trades"]


def test_who_cannot_trade_every_market_has_no_rank(make_bundle: MakeBundle, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    first = open_tape(TAPES[0])
    Tape(first.events, replace(first.instrument, symbol="OTHER"), first.provenance).save(other)
    board = run(
        tmp_path / "suite",
        plan=SuitePlan((TAPES[1], str(other)), 5, 2),
        bundles=[make_bundle("target", "mine")],
        only=["mine@target", "flat@target"],
    )
    flat, mine = board.data["rows"]
    assert (flat["policy"], flat["rank"], flat["markets"]) == ("flat", 1, 2)
    assert (mine["policy"], mine["rank"], mine["markets"]) == ("mine", None, 1)
    assert [len(one["rows"]) for one in board.data["markets"]] == [2, 1]
    assert board.data["markets"][1]["name"] == "other"


def test_the_page_is_self_contained_and_whole(root: Path, data: dict[str, Any]) -> None:
    page = (root / "index.html").read_text()
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=", page)
    for row in data["rows"]:
        assert row["digest"] in page
        assert row["policy"] in page
    for one in data["markets"]:
        assert one["tape_digest"] in page
    text = (root / "leaderboard.md").read_text()
    assert text.count("\n| ") == len(data["rows"]) + 1


def test_what_compares_nothing_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="distinct tapes"):
        SuitePlan((TAPES[0], TAPES[0]))
    with pytest.raises(EvaluationError, match="at least 5 seeds"):
        SuitePlan(TAPES, seeds=4)
    with pytest.raises(EvaluationError, match="nobody is called 'nobody@grid'"):
        run(root, only=["nobody@grid"])
    with pytest.raises(EvaluationError, match="there is no tape"):
        run(tmp_path, plan=SuitePlan((str(tmp_path / "x.parquet"),)))
    with pytest.raises(JobError, match="too short to cut"):
        run(tmp_path, plan=SuitePlan(("synth?seed=1&minutes=1",)))
    same = tmp_path / "same.parquet"
    open_tape(TAPES[0]).save(same)
    with pytest.raises(EvaluationError, match="are the same tape"):
        run(tmp_path, plan=SuitePlan((TAPES[0], str(same)), 5, 2))


def test_a_cell_edited_by_hand_is_seen(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "edited"
    shutil.copytree(root, folder)
    for file in (folder / "cells").glob("*/result.json"):
        record = json.loads(file.read_bytes())
        if record["task"]["player"]["name"] == "random":
            record["result"]["score_bps"][0] += 100.0
            file.write_text(json.dumps(record))
            break
    with pytest.raises(EvaluationError, match="was edited by hand"):
        run(folder)
