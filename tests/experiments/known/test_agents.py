"""Goal: the studies say what is so. Method: the optimal programme in EarnHFT's place must pass the bar, a player that
does nothing must miss it; a study that was stopped goes on; splits play what they forbid to learn from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lobgym.agents.baselines import available_baselines, baseline_spec, open_baseline
from lobgym.agents.errors import JobError
from lobgym.envs.markets import market_for
from lobgym.experiments.cli import studies
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.episodes import play
from lobgym.experiments.evaluation.evaluate import EvalConfig
from lobgym.experiments.evaluation.intervals import iqm_interval
from lobgym.experiments.evaluation.sharpe import moments_of, probabilistic_sharpe
from lobgym.experiments.known.agents import (
    StudyPlan,
    alpha_agents,
    corrections_table,
    martingale_agents,
    study_lines,
)
from lobgym.experiments.known.cells import agent_cell, tape_name
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.paired import paired_study, paired_table
from lobgym.experiments.studies.setting import Setting
from lobgym.experiments.studies.splits import Margin, blocks, combinatorial, walk_forward
from lobgym.experiments.studies.walking import _psr, cross_validate, fit_named, fold_cell, walking_table
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.tape import open_tape
from tests.experiments.known import hand_trained

HAND = "tests.experiments.known.hand_trained"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


def plan(folder: Path, trainer: str = "knows", seeds: int = 3) -> StudyPlan:
    return StudyPlan(folder, seeds, "tiny", 5.0, 40.0, f"{HAND}:{trainer}", backend="serial")


# -- the studies -------------------------------------------------------------------------------------------------------


def test_who_knows_the_law_passes_the_bar(folder: Path) -> None:
    result = alpha_agents(plan(folder), (0.5, 1.0))
    assert json.loads(json.dumps(result)) == result
    middle, strong = result["strengths"]
    for part in (middle, strong):
        rows = {row["player"]: row for row in part["rows"]}
        assert rows["learner"]["per_seed"] == rows["programme"]["per_seed"]
        assert rows["learner"]["share_mean"] == pytest.approx(1.0, abs=0.35)
        assert rows["learner"]["trained"]
        assert not rows["programme"]["trained"]
        assert {"threshold", "linear", "linear, holding", "fitted threshold", "always long"} < set(rows)
        assert len(set(part["test_digests"])) == 3
    assert not any("of the optimum" in failure for failure in result["failures"])
    assert len(study_lines(result)) >= 4 + 2 * 8


def test_who_does_nothing_misses_it(tmp_path: Path) -> None:
    result = alpha_agents(plan(tmp_path, "lazy", 2), (0.5,))
    assert any("0% of the optimum" in failure for failure in result["failures"])
    assert any("not above that of threshold" in failure for failure in result["failures"])
    assert not any("programme" in failure for failure in result["failures"])
    assert study_lines(result)[-1].startswith("MISSED: ")


def test_a_study_goes_on_where_it_was_stopped(folder: Path, tmp_path: Path) -> None:
    done = {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert len(done) == 6
    lost = sorted(done)[0]
    copy = tmp_path / "cells"
    shutil.copytree(folder, copy)
    before = (copy / lost / "result.json").read_bytes()
    shutil.rmtree(copy / lost)
    assert alpha_agents(plan(copy), (0.5, 1.0)) == alpha_agents(plan(folder), (0.5, 1.0))
    assert (copy / lost / "result.json").read_bytes() == before
    assert {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/result.json")} == done
    assert (copy / lost / "learned.txt").exists()


def test_another_source_makes_its_own_cells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lobgym.experiments import source
    from lobgym.experiments.known import agents as known_agents

    asked: list[Any] = []
    monkeypatch.setattr(known_agents, "run_jobs", lambda function, tasks, folder, **options: asked.extend(tasks))
    for digest in ("a" * 64, "b" * 64):
        monkeypatch.setattr(known_agents, "source_sha256", lambda *folders, digest=digest: digest)
        with pytest.raises(TypeError):
            plan(folder).cells([{}])
    assert [task["source"][0] for task in asked] == ["a"] * 3 + ["b"] * 3
    assert source.source_sha256("agents") != source.source_sha256("sim")


def test_a_correction_that_matters_is_seen(folder: Path) -> None:
    result = corrections_table(plan(folder), ("double", "own_epsilon"))
    rows = {row["variant"]: row for row in result["rows"]}
    assert list(rows) == ["corrected", "without double", "without own_epsilon", "reference"]
    assert rows["corrected"]["difference"] is None
    for name in list(rows)[1:]:
        assert rows[name]["share_mean"] == 0.0
        assert rows[name]["difference"]["high"] < 0.0
    # The corrected cells are those of the planted alpha at the middle strength: nothing was done again.
    assert len(list(folder.glob("*/result.json"))) == 6 + 3 * 3
    assert len(study_lines(result)) == 4 + 4


def test_on_the_martingale_nobody_is_found_and_a_cheat_would_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = martingale_agents(plan(folder))
    assert result["failures"] == []
    assert {row["player"] for row in result["rows"]} >= {"learner", "linear", "imbalance follower", "always long"}
    follower = next(row for row in result["rows"] if row["player"] == "imbalance follower")
    assert follower["ticks_per_lot"] == pytest.approx(-24, abs=2)  # the half spread
    assert len(study_lines(result)) == 4 + len(result["rows"])
    from lobgym.experiments.known import agents as known_agents

    def cheating(function: Any, tasks: Any, folder: Any, **options: Any) -> list[dict[str, Any]]:
        lots = {"learner": 5, "flat": 0}
        return [
            {"trained": ["learner"], "earned": {"learner": 100.0 + task["seed"], "flat": 0.0}, "lots": lots,
             "test_digest": ""}
            for task in tasks
        ]  # fmt: skip

    monkeypatch.setattr(known_agents, "run_jobs", cheating)
    found = martingale_agents(plan(folder, seeds=5))
    assert len(found["failures"]) == 1
    assert "learner earns" in found["failures"][0]


def test_markets_to_learn_from_and_to_play_on_differ(folder: Path) -> None:
    task = {"strength": 0.5, "seed": 1, "train_minutes": 5.0, "test_minutes": 5.0}
    assert tape_name(task, "train") == "synth:planted-alpha?strength=0.5&minutes=5&seed=50001"
    digests = {open_tape(tape_name(task, part)).digest for part in ("train", "test")}
    assert len(digests) == 2
    with pytest.raises(EvaluationError, match="2 seeds"):
        StudyPlan(folder, 1)
    assert callable(agent_cell)


# -- pairs and splits --------------------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    setting = Setting.of("synth?minutes=3", EvalConfig((0, 1, 2), 2, 40, "all"))
    names = [Contestant.of(name) for name in ("random@target", "flat@target", "random@target")]
    result = paired_study(names, setting, tmp_path, backend="serial")
    random, flat, again = result["rows"]
    assert flat["per_seed"] == [0.0] * 3
    market = setting.market()
    policy, spec = names[0].open(market)
    alone = play(market, spec, policy, setting.config)
    unit = float(market.instrument.money_unit) / 2  # of an episode
    assert random["per_seed"] == pytest.approx([unit * value for value in alone.by_seed().values()])
    assert random["pnl_mean"] == pytest.approx(unit * int(alone.pnl.sum()) / 3)
    assert again["difference"]["low"] == again["difference"]["high"] == 0.0
    assert flat["difference"]["iqm"] == pytest.approx(-random["pnl"]["iqm"])
    assert len(list(tmp_path.glob("*/result.json"))) == 2  # equal contestants are one cell
    assert len(paired_table(result)) == 5


def test_folds_are_played_where_nothing_was_learned(tmp_path: Path) -> None:
    tape = "synth:planted-alpha?strength=0.5&minutes=40&seed=5"
    options = {"from_ns": -1, "to_ns": -1}
    facts: dict[str, Any] = {"fitter": f"{HAND}:peeking", "seeds": (0, 1), "episodes": 2, "horizon": 600}
    scheme = {"kind": "combinatorial", "groups": 4, "tests": 2}
    result = cross_validate(tape, scheme, options, tmp_path, margin=Margin(), backend="serial", **facts)
    assert len(result["rows"]) == 6
    assert len(result["paths"]) == 3
    every = [value for row in result["rows"] for value in row["pnl"]]
    assert len(every) == 6 * 2 * 4
    # Each result is in exactly one history.
    assert sum(path["mean"] for path in result["paths"]) / 3 == pytest.approx(sum(every) / len(every))
    forward = cross_validate(
        tape, {"kind": "forward", "folds": 3}, options, tmp_path, margin=Margin(), backend="serial", **facts
    )
    assert [row["groups"] for row in forward["rows"]] == [[1], [2], [3]]
    assert forward["rows"][0]["train_s"] < forward["rows"][2]["train_s"]
    assert forward["paths"] == []
    assert forward["mean"] > 0.0
    for one in (result, forward):
        assert any("interquartile mean" in line for line in walking_table(one))
    with pytest.raises(EvaluationError, match="forward or combinatorial"):
        cross_validate(tape, {"kind": "sideways", "groups": 2}, options, tmp_path)


def test_more_histories_are_no_larger_sample(tmp_path: Path) -> None:
    """What learns nothing plays the same in every fold: the figures over all folds are those of one history."""
    tape = "synth:planted-alpha?strength=0.5&minutes=40&seed=5"
    facts: dict[str, Any] = {"fitter": f"{HAND}:peeking", "seeds": (0, 1), "episodes": 2, "horizon": 500}
    once, thrice = (
        cross_validate(
            tape, {"kind": "combinatorial", "groups": 4, "tests": tests}, {"from_ns": -1, "to_ns": -1}, tmp_path,
            margin=Margin(), backend="serial", **facts,
        )
        for tests in (1, 2)
    )  # fmt: skip
    assert (len(once["paths"]), len(thrice["paths"])) == (1, 3)
    assert {path["mean"] for path in thrice["paths"]} == {once["paths"][0]["mean"]}
    assert thrice["iqm"] == pytest.approx(once["iqm"], rel=1e-12)
    assert thrice["mean"] == pytest.approx(once["mean"], rel=1e-12)
    assert thrice["psr"] == pytest.approx(once["psr"], rel=1e-9)
    # In whole plays: of each block its episodes, and the moments of these.
    by_block = {row["groups"][0]: row["pnl"] for row in once["rows"]}
    interval = iqm_interval(by_block)
    assert once["iqm"] == [interval.iqm, interval.low, interval.high]
    # Four episodes of 250 s a block of 600 s: two of them share no time.
    moments = moments_of([value for group in range(4) for value in by_block[group]])
    assert moments.count == 16
    assert once["psr"] == probabilistic_sharpe(replace(moments, count=4 * 2))
    for row in thrice["rows"]:
        assert row["pnl"] == [value for group in row["groups"] for value in by_block[group]]


@pytest.mark.parametrize(
    "scheme",
    [{"kind": "combinatorial", "groups": 4, "tests": 2}, {"kind": "forward", "folds": 3},
     {"kind": "forward", "folds": 3, "anchored": False}],
    ids=["combinatorial", "anchored", "rolling"],
)  # fmt: skip
def test_a_fold_learns_from_its_own_part_and_plays_its_own_blocks(tmp_path: Path, scheme: dict[str, Any]) -> None:
    """Oracle: the splits themselves, judged in their own tests, and each block played alone."""
    tape, margin = "synth:planted-alpha?strength=0.5&minutes=40&seed=5", Margin(61_000_000_000, 7, 11)
    options = {"note": str(tmp_path / "note")}
    result = cross_validate(
        tape, scheme, options, tmp_path / "cells", fitter=f"{HAND}:noting", margin=margin, seeds=(0, 3), episodes=2,
        horizon=600, backend="serial",
    )  # fmt: skip
    market = market_for(tape)
    span = market.start_ns, market.end_ns
    forward = scheme["kind"] == "forward"
    folds = (
        walk_forward(*span, 3, margin, anchored=scheme.get("anchored", True)) if forward
        else combinatorial(*span, 4, 2, margin)
    )  # fmt: skip
    learned = [json.loads(line) for line in (tmp_path / "note").read_text().splitlines()]
    assert learned == [[list(part) for part in fold.train] for fold in folds]
    policy, spec = hand_trained.noting(market, [], {"note": str(tmp_path / "other")})
    unit = float(market.instrument.money_unit)
    blocks_alone = [
        [unit * pnl for pnl in play(market, spec, policy, EvalConfig((0, 3), 2, 600, block)).pnl.tolist()]
        for block in blocks(*span, 4)
    ]
    assert len({tuple(one) for one in blocks_alone}) == 4
    for row, fold in zip(result["rows"], folds, strict=True):
        assert row["groups"] == list(fold.groups)
        assert row["train_s"] == fold.train_ns / 1e9
        assert row["pnl"] == [value for group in fold.groups for value in blocks_alone[group]]


def test_a_named_baseline_is_fitted_on_the_longest_part_that_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    market = market_for("synth?minutes=6")
    asked = []

    def watched(name: str, market: Any, spec: DeskSpec, low: int, high: int) -> Any:
        asked.append((name, spec.kind, low - market.start_ns, high - market.start_ns))
        return open_baseline("flat", market, spec, low, high)

    monkeypatch.setattr("lobgym.agents.baselines.open_baseline", watched)
    second = 1_000_000_000
    for parts in (((0, 100), (120, 250), (260, 300)), ((0, 200), (220, 300))):
        train = [(market.start_ns + low * second, market.start_ns + high * second) for low, high in parts]
        fit_named(market, train, {"name": "linear", "kind": "target"})
    assert asked == [("linear", "target", 120 * second, 250 * second), ("linear", "target", 60 * second, 200 * second)]


def test_another_tape_than_that_of_the_study_is_not_played(tmp_path: Path) -> None:
    task = {"tape": "synth?minutes=6", "tape_digest": "0" * 64}
    with pytest.raises(EvaluationError, match="start it anew"):
        fold_cell(task, tmp_path)


def test_a_ratio_needs_three_results_that_differ() -> None:
    assert _psr([1.0, 2.0], 2) is None
    assert _psr([1.0, 1.0, 1.0], 3) is None
    assert _psr([-1.0, 0.0, 1.0], 3) == 0.5
    assert 0.5 < (_psr([-1.0, 0.0, 4.0, 3.0], 2) or 0.0) < (_psr([-1.0, 0.0, 4.0, 3.0], 4) or 0.0)


def test_a_desk_that_looks_back_across_the_gap_is_refused(tmp_path: Path) -> None:
    given: dict[str, Any] = {"seeds": (0, 1), "episodes": 1, "horizon": 40, "backend": "serial"}
    maker = {"name": "fixed-maker", "kind": "maker"}
    scheme = {"kind": "forward", "folds": 1}
    with pytest.raises(JobError, match=r"looks back 61 s, the gaps .* for 60 s: give .* 61000000000"):
        cross_validate("synth?minutes=6", scheme, maker, tmp_path, margin=Margin(60_000_000_000), **given)
    assert cross_validate("synth?minutes=6", scheme, maker, tmp_path, **given)["rows"][0]["train_s"] > 0
    # What fits are made of is covered by default.
    market = market_for("synth?minutes=6")
    for kind in ("grid", "target", "maker"):
        for name in available_baselines(kind, suite=True):
            spec = baseline_spec(name, DeskSpec.for_market(market, kind))
            assert spec.layout.lookback_ns <= Margin().lookback_ns, name


def test_a_fitted_baseline_walks_forward(tmp_path: Path) -> None:
    result = cross_validate(
        "synth?minutes=10", {"kind": "forward", "folds": 1},
        {"name": "linear-band", "kind": "target"}, tmp_path, seeds=(0, 1), episodes=2, horizon=60, backend="serial",
    )  # fmt: skip
    (row,) = result["rows"]
    assert len(row["pnl"]) == 4
    market = market_for("synth?minutes=10")
    assert row["train_s"] == pytest.approx((market.end_ns - market.start_ns) / 2e9 - 61, abs=1e-6)


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command() -> typer.Typer:
    made = typer.Typer()
    studies.add_to(made)
    return made


COMMON = ("--tape", "synth?minutes=5", "--seeds", "2", "--episodes", "2", "--backend", "serial", "--json")


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["sweep", "--policy", "random@target", "--extra-bps", "1", "--delay-ms", "5"], "extra_bps"),
        (["regimes", "--policy", "random@target"], "bounds"),
        (["random-entry", "--policy", "random@target", "--surrogates", "19"], "surrogates"),
        (["splits", "--policy", "flat@target", "--groups", "3", "--tests", "1", "--horizon", "40"], "paths"),
    ],
)
def test_commands_print_json_and_write_their_results(
    command: typer.Typer, tmp_path: Path, words: list[str], key: str
) -> None:
    run = CliRunner().invoke(command, ["study", *words, *COMMON, "--out", str(tmp_path)], catch_exceptions=False)
    assert run.exit_code == 0
    printed = json.loads(run.output)
    assert key in printed
    (written,) = tmp_path.glob("*.json")
    kept = json.loads(written.read_text())
    assert {"command", "commit"} < set(kept)
    assert {name: kept[name] for name in printed} == printed
    assert written.with_suffix(".md").read_text().startswith("| ")


def test_the_sharpe_command_reads_the_ledger(command: typer.Typer, tmp_path: Path) -> None:
    from lobgym.agents.trials import record_trial

    for number in range(20):
        record_trial(tmp_path / "run", "tune", "x" * 64, "grid", str(number))
    words = ["study", "sharpe", "--policy", "random@target", "--trials", str(tmp_path / "trials.jsonl")]
    run = CliRunner().invoke(command, [*words, *COMMON[:6], "--json"], catch_exceptions=False)
    printed = json.loads(run.output)
    assert printed["trials"] == 20
    assert printed["dsr"] < printed["psr"]
    assert (printed["episodes"], printed["moments"]["count"]) == (4, 2), "two fit side by side into the test part"
    run = CliRunner().invoke(command, [*words, *COMMON[:6], "--this-tape"], catch_exceptions=False)
    assert "best of 1 trials" in " ".join(run.output.split())


def test_the_agents_command_refuses_unknown_studies(command: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="alpha, martingale, corrections"):
        CliRunner().invoke(command, ["study", "agents", "luck", "--out", str(tmp_path)], catch_exceptions=False)
