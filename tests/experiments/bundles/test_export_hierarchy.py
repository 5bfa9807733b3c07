"""From a run of EarnHFT to a bundle, and everything that takes bundles: paper, replay, gates, the leaderboard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lobgym.agents.earnhft.parity import HierarchyParity, collect_episodes
from lobgym.agents.earnhft.pipeline import EarnHftResult
from lobgym.agents.errors import ExportError
from lobgym.experiments.bundles.export import PARITY_OBSERVATIONS, export_run
from lobgym.experiments.bundles.served import ServedPolicy
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.assess import assess, open_subject
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.experiments.evaluation.study import Study
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.setting import Setting
from lobgym.experiments.suite.plan import SuitePlan
from lobgym.experiments.suite.run import Workers, run_suite
from lobgym.governance import run_gates
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.engine import DECISION
from lobgym.runtime.errors import PolicyError
from lobgym.runtime.journal import read_journal
from lobgym.runtime.paper import run_paper
from lobgym.runtime.replay import replay
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape
from tests.agents.earnhft.pools import run_folder

TAPE = "synth:volatile?minutes=8"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> EarnHftResult:
    return run_folder(tmp_path_factory.mktemp("earn") / "run", TAPE)


@pytest.fixture(scope="module")
def bundle(result: EarnHftResult) -> Path:
    return export_run(result.folder, result.folder.parent / "bundle").bundle


@pytest.fixture(scope="module")
def tape() -> Tape:
    return open_tape(TAPE)


@pytest.fixture(scope="module")
def market(tape: Tape) -> Market:
    return Market.compile(tape)


def test_a_run_becomes_one_bundle_that_was_compared(result: EarnHftResult, tmp_path: Path) -> None:
    exported = export_run(result.folder, tmp_path / "whole", "chain")
    parity = exported.parity
    assert isinstance(parity, HierarchyParity)
    assert parity.ok
    assert parity.observations - parity.extremes >= PARITY_OBSERVATIONS
    manifest = load_bundle(exported.bundle, allow_ungated=True).manifest
    assert (manifest.name, manifest.algo, manifest.training_steps) == ("chain", "earnhft", 1010)
    assert manifest.hierarchy is not None
    assert manifest.hierarchy.macro_steps == result.config.macro_steps
    assert manifest.hierarchy.agents == [agent.digest for agent in result.pool.agents]
    assert manifest.hierarchy.router == result.router.digest
    again = export_run(result.folder, tmp_path / "again", "chain").bundle
    for name in ("policy.onnx", "manifest.json"):
        assert (again / name).read_bytes() == (exported.bundle / name).read_bytes()


def test_what_is_served_decides_as_what_was_trained(result: EarnHftResult, bundle: Path, market: Market) -> None:
    """The runtime's code beside the original, along episodes of several macro steps, lane by lane."""
    original, served = result.hierarchy, ServedPolicy.of(load_bundle(bundle, allow_ungated=True))
    episodes = collect_episodes(original, result.spec, market, market.start_ns, market.end_ns, 40 * 24, 24)
    original.reset(24)
    served.reset(24)
    acted = []
    for rows in episodes:
        assert np.array_equal(served.act(rows), original.act(rows))
        assert np.array_equal(served.last[0], original.last[0])
        assert np.array_equal(served.last[1], original.last[1])
        acted.append(original.last[1])
    assert len(np.unique(acted)) >= 3


def test_paper_and_replay_name_the_same_agents(
    result: EarnHftResult, bundle: Path, tape: Tape, market: Market, tmp_path: Path
) -> None:
    original = result.hierarchy
    run_paper(bundle, tape, tmp_path / "j", steps=120, market=market, allow_ungated=True)
    assert replay(tmp_path / "j", bundle, tape).ok
    records = [record.body for record in read_journal(tmp_path / "j").records if record.kind == DECISION]
    episodes = collect_episodes(original, result.spec, market, market.start_ns, market.end_ns, 120, 1)
    original.reset(1)
    for record, rows in zip(records, episodes, strict=True):
        action = original.act(rows)
        assert record["codes"] == [int(action[0])]
        assert (record["choice"], record["agent"]) == (int(original.last[0][0]), int(original.last[1][0]))
    assert len({record["agent"] for record in records}) > 1


def test_the_gates_and_the_leaderboard_take_it(bundle: Path) -> None:
    report = run_gates(bundle, TAPE)
    # G3 judges what a policy costs; these networks were never trained.
    judged = {gate.name: gate for gate in report.gates}
    assert judged["G1"].passed, judged["G1"].failures
    assert all(" runs to its end" not in check.name for check in judged["G3"].failures)
    study = Study.of(TAPE, 500_000_000)
    (entry,) = study.entries([], [bundle])
    assert entry.name == "bundle"
    config = EvalConfig((0, 1), 2, study.horizon, "test", 0.3, study.embargo_ns)
    evaluation = Evaluator(study.market, config).run(entry.policies, entry.spec, "trained", entry.name)
    assert sum(metrics.fills for metrics in evaluation.per_seed) > 0


def test_one_agent_alone_is_a_bundle_of_its_own(result: EarnHftResult, tmp_path: Path) -> None:
    exported = export_run(result.folder, tmp_path / "one", agent=2)
    loaded = load_bundle(exported.bundle, allow_ungated=True)
    assert loaded.manifest.hierarchy is None
    assert loaded.policy.outputs == 5
    with pytest.raises(ExportError, match="agents 0 to 5, not 6"):
        export_run(result.folder, tmp_path / "none", agent=6)


def test_another_tape_is_refused(result: EarnHftResult, tmp_path: Path) -> None:
    copy = run_folder(tmp_path / "run", TAPE)
    path = copy.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"tape_digest": "0" * 64}))
    with pytest.raises(ExportError, match="another tape"):
        export_run(copy.folder, tmp_path / "bundle")


def test_a_run_and_its_bundle_play_the_same_part_of_another_tape(result: EarnHftResult, bundle: Path) -> None:
    """The run left 20% of its own tape unseen; elsewhere that is nobody's concern, and both play the last 30%."""
    one, other = (
        assess(open_subject(folder), "synth:volatile?seed=3&minutes=8", seeds=1, episodes=3, horizon=60)
        for folder in (result.folder, bundle)
    )
    assert one.per_seed == other.per_seed
    assert one.mean("fills")


def test_a_study_refuses_what_was_chosen_on_the_tested_part(result: EarnHftResult, market: Market) -> None:
    """The hierarchy was chosen on the part from 60% to 80%; a study tests from 70% on."""
    who = Contestant.of(str(result.folder))
    cut = Study.of(TAPE).evaluation(2, 2)
    setting = Setting.of(TAPE, cut)
    for name in (str(result.folder), f"{result.folder}#random"):
        with pytest.raises(EvaluationError, match=r"was trained on this tape and has looked at .* tested here"):
            Contestant.of(name).open(market, train=setting.train(market))
    later = Setting.of(TAPE, replace(cut, test_fraction=0.1))
    assert who.open(market, train=later.train(market))[1] == result.spec
    other = Market.compile(open_tape("synth:volatile?seed=3&minutes=8"))
    assert who.open(other, train=setting.train(other))[1] == result.spec
    # Where no part is set aside, all that was seen is tested.
    for split in ("all", (market.start_ns, market.end_ns)):
        whole = Setting.of(TAPE, replace(cut, split=split))
        with pytest.raises(EvaluationError, match=r"was trained on this tape, of which more than its end is tested"):
            who.open(market, train=whole.train(market))
        assert who.open(other, train=whole.train(other))[1] == result.spec


def test_a_study_refuses_another_instrument(result: EarnHftResult, tape: Tape) -> None:
    foreign = Tape.taking(tape.events.copy(), replace(tape.instrument, symbol="OTHER"))
    with pytest.raises(PolicyError, match="OTHER"):
        Contestant.of(str(result.folder)).open(Market.compile(foreign))


def test_the_suite_refuses_what_was_chosen_on_the_judged_part(result: EarnHftResult, tmp_path: Path) -> None:
    plan = SuitePlan((TAPE, "synth:volatile?seed=3&minutes=8"))
    with pytest.raises(EvaluationError, match=r"cut otherwise: .* left 20% .* 30% .* are judged here"):
        run_suite(plan, tmp_path / "suite", runs=[result.folder], workers=Workers(1, "serial"))
    assert not (tmp_path / "suite" / "plan.json").exists()


def test_the_board_of_one_market_says_how_a_run_takes_part(result: EarnHftResult) -> None:
    with pytest.raises(EvaluationError, match="lobgym export"):
        Study.of(TAPE).entries([result.folder])
