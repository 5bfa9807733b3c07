"""The three stages from a config to a folder: whole, repeatable to the byte, and no worse for having been killed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobgym.agents.earnhft import pipeline
from lobgym.agents.earnhft.network import QWeights
from lobgym.agents.earnhft.parts import Parts
from lobgym.agents.earnhft.pipeline import EarnHftResult, load_earnhft, train_earnhft
from lobgym.agents.earnhft.segments import Segment
from lobgym.agents.earnhft.tournament import choose_pool, play_segments
from lobgym.agents.errors import ModelHashError, RunFolderError
from lobgym.agents.trials import read_trials
from tests.agents.earnhft.made import config_of, market_of, random_agent
from tests.project import ROOT


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run` in it, made without an interruption."""
    home = tmp_path_factory.mktemp("whole")
    made_in(home)
    return home


def made_in(home: Path, **changes: object) -> EarnHftResult:
    before = Path.cwd()
    os.chdir(home)
    try:
        return train_earnhft(config_of(out="run", **changes))
    finally:
        os.chdir(before)


def contents(home: Path) -> dict[str, bytes]:
    """Every file of the run but its logs, which hold times."""
    root = home / "run"
    files = [path for path in root.rglob("*") if path.is_file() and "logs" not in path.relative_to(root).parts]
    # The low level's own log has no times.
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def test_a_run_leaves_everything_that_it_names(whole: Path):
    result = load_earnhft(whole / "run")
    config = result.config
    market = market_of()
    assert result.spec == config.spec(market)
    assert len(result.record.agents) == config.low.agents == result.counts["agents"] == 4
    found = [QWeights.load(path).digest for beta in ("30", "-30") for path in sorted((whole / "run" / "low" / f"beta_{beta}").glob("agent_*.npz"))]  # fmt: skip  # noqa: E501
    assert list(result.record.agents) == found
    assert set(result.record.pool) <= set(found)
    assert result.record.router == result.router.digest
    assert result.record.tape_digest == market.tape.digest
    with np.load(whole / "run" / "scores.npz") as scores:
        pnl, steps = scores["pnl"], scores["steps"]
    assert result.counts["validation_steps"] == pnl.shape[0] * pnl.shape[1] * int(steps.sum())
    assert result.counts["low_taught"] == result.counts["low_own"] == 2 * 4 * 120
    # The scores are those of the agents in the folder, in the segments in the folder.
    segments = [msgspec.convert(one, Segment) for one in msgspec.json.decode((whole / "run" / "segments.json").read_bytes())]  # fmt: skip  # noqa: E501
    low = whole / "run" / "low"
    agents = [QWeights.load(path) for beta in ("30", "-30") for path in sorted((low / f"beta_{beta}").glob("agent_*"))]
    again = play_segments(market, config.low_spec(market), agents, segments, config.seed)
    np.testing.assert_array_equal(again.pnl, pnl)
    assert len({row.tobytes() for row in pnl}) == len(agents), "else their order would not show"
    # The pool is what these scores choose of these agents.
    settings = config.tournament
    assert again.labels.tolist() == [one.label for one in segments]
    pool = choose_pool(agents, again, settings.labels, settings.shrink, True, settings.general)
    assert [one.digest for one in pool.agents] == list(result.record.pool)
    np.testing.assert_array_equal(pool.members, result.pool.members)
    assert not (whole / "run" / "jobs").exists()
    assert (whole / "run" / "logs" / "router.csv").read_text().startswith("step,epsilon,loss,reward\n")


def test_the_hierarchy_acts_at_the_desk_of_the_run(whole: Path):
    result = load_earnhft(whole / "run")
    policy = result.hierarchy
    policy.reset(3, 0)
    rows = np.random.default_rng(0).uniform(-1, 1, (3, result.spec.layout.size)).astype(np.float32)
    assert policy.act(rows).shape == (3,)


def test_every_checkpoint_is_in_the_ledger(whole: Path):
    result = load_earnhft(whole / "run")
    trials = read_trials(whole / "trials.jsonl")
    agents = {one.digest: one.score for one in trials if one.env == "target"}
    assert set(agents) == set(result.record.agents)
    assert all(isinstance(score, float) for score in agents.values())
    judged = msgspec.json.decode((whole / "run" / "router.json").read_bytes())
    assert {one.digest for one in trials if one.env == "router"} == set(judged["digests"])
    assert {one.tape_digest for one in trials} == {market_of().tape.digest}
    # Their ratios, by the standard library: of segments over all start positions, and of the windows judged.
    with np.load(whole / "run" / "scores.npz") as scores:
        pnl, steps = scores["pnl"], scores["steps"]
    ratios = {one.digest: one.sharpe for one in trials}
    total = {digest: int(earned.sum()) for digest, earned in zip(result.record.agents, pnl, strict=True)}
    first = result.record.agents[0]
    assert {digest: agents[digest] * total[first] for digest in agents} == pytest.approx(
        {digest: agents[first] * total[digest] for digest in agents}
    ), "scores are in proportion to what each agent earned"
    for digest, earned in zip(result.record.agents, pnl, strict=True):
        rates = [int(total) / int(length) for total, length in zip(earned.sum(axis=0), steps, strict=True)]
        known = len(rates) >= 3 and len(set(rates)) > 1
        assert ratios[digest] == (pytest.approx(statistics.mean(rates) / statistics.stdev(rates)) if known else None)
    assert [ratios[digest] for digest in judged["digests"]] == judged["sharpes"]


def test_a_run_that_is_killed_in_every_stage_ends_in_the_same_bytes(whole: Path, tmp_path: Path):
    script = Path(__file__).with_name("pipeline_run.py")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    left: list[int] = []
    for stage, call in (("low", 3), ("low", 6), ("tournament", 3), ("router", 5)):
        command = [sys.executable, str(script), "run", stage, str(call)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (tmp_path / "run" / "run.json").exists()
        left.append(len(contents(tmp_path)))
    assert left[0] < left[1] < left[3]  # each went on where the one before was killed
    made_in(tmp_path)
    assert contents(tmp_path) == contents(whole)
    assert len(read_trials(tmp_path / "trials.jsonl")) == len(read_trials(whole / "trials.jsonl"))


def test_two_workers_make_what_one_makes(whole: Path, tmp_path: Path):
    made_in(tmp_path, workers=2)
    two, one = contents(tmp_path), contents(whole)
    assert two.pop("config.json") != one.pop("config.json")
    assert two == one


def test_it_does_not_matter_how_many_agents_play_side_by_side(whole: Path, tmp_path: Path):
    """One at a time, each a task of its own, and more segments at once: the same scores of the same agents."""
    few = dataclasses.replace(config_of().tournament, lanes=40)
    made_in(tmp_path, tournament=few)
    for name in ("scores.npz", "pool/pool.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / "run" / name).read_bytes(), name


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=14), st.integers(1, 6))
def test_of_each_label_the_longest_segments_are_walked_in_their_order(drawn: list[tuple[int, int]], most: int):
    """By definition: a segment stays unless so many of its label are longer, or as long and earlier."""
    tiny = config_of()
    config = tiny.replace(tournament=dataclasses.replace(tiny.tournament, labels=4, evaluations_max=most))
    ends = list(itertools.accumulate((length for length, _ in drawn), initial=7))
    segments = tuple(Segment(low, low + length, 0.0, label) for low, (length, label) in zip(ends, drawn, strict=False))
    kept = []
    for k, (length, label) in enumerate(drawn):
        before = sum(
            other_label == label and (other > length or (other == length and n < k))
            for n, (other, other_label) in enumerate(drawn)
        )
        if before < most:
            kept.append(segments[k])
    assert pipeline._walked(segments, config) == tuple(kept)


def test_a_task_of_the_tournament_scores_its_agents_in_their_order(tmp_path: Path):
    config, market = config_of(), market_of()
    spec = config.low_spec(market)
    agents = [random_agent(seed, config.columns, spec.targets) for seed in (3, 1, 2)]
    paths = [str(agent.save(tmp_path / f"{k}.npz")) for k, agent in enumerate(agents)]
    start = Parts.of(market, config).validation.low_ns
    segments = [Segment(start + k * 10**10, start + (k + 1) * 10**10, 0.0, k) for k in range(2)]
    task = {"config": config.to_json(), "segments": [one.to_json() for one in segments], "agents": paths}
    found = pipeline.tournament_task(task, tmp_path)
    alone = [play_segments(market, spec, [agent], segments, config.seed).pnl[0].tolist() for agent in agents]
    assert found["pnl"] == alone
    assert len({str(one) for one in alone}) == 3, "else their order would not show"
    assert found["steps"] == [20, 20]


def test_another_seed_makes_another_run(whole: Path, tmp_path: Path):
    other = made_in(tmp_path, seed=2)
    assert not set(other.record.agents) & set(load_earnhft(whole / "run").record.agents)


def test_folders_that_hold_something_else_are_refused(whole: Path, tmp_path: Path):
    with pytest.raises(RunFolderError, match="another config"):
        made_in(whole, seed=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("")
    with pytest.raises(RunFolderError, match="not empty"):
        made_in(tmp_path)


def test_a_changed_run_is_not_loaded(whole: Path, tmp_path: Path):
    copy = tmp_path / "run"
    for name, data in contents(whole).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(data)
    assert load_earnhft(copy).record == load_earnhft(whole / "run").record
    result = load_earnhft(copy)
    random_agent(5, result.router.columns, result.router.targets).save(copy / "router.npz")
    with pytest.raises(ModelHashError, match="do not use it"):
        load_earnhft(copy)
    (copy / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="of this version"):
        load_earnhft(copy)
    (copy / "run.json").unlink()
    with pytest.raises(RunFolderError, match=r"run\.json is missing"):
        load_earnhft(copy)
