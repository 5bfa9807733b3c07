"""The paper runtime: equal runs, guarded decisions, orders journalled before they are sent, and death at any record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lobgym.runtime.bundle import LoadedBundle, load_bundle
from lobgym.runtime.engine import DECISION, OUTCOME, PaperRun, decide, plan_run
from lobgym.runtime.errors import GateError, JournalCorruptError, PolicyError, ResumeError
from lobgym.runtime.journal import JournalRecord, read_journal
from lobgym.runtime.paper import RESUME, run_paper
from lobgym.runtime.replay import replay
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError, TapeExhaustedError
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import KINDS, MakeBundle
from tests.runtime.models import linear

STEPS = 300
Loaded = dict[str, LoadedBundle]


@pytest.fixture
def bundles(make_bundle: MakeBundle) -> Loaded:
    return {kind: load_bundle(make_bundle(kind, kind), allow_ungated=True) for kind in KINDS}


def bodies(path: Path, kind: str) -> list[dict]:
    return [record.body for record in read_journal(path).records if record.kind == kind]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_runs_give_equal_journals(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path, kind: str) -> None:
    results = [
        run_paper(bundles[kind], tape, tmp_path / f"j{sync}", steps=STEPS, market=market, sync=sync)
        for sync in ("none", "always", "batch:7")
    ]
    assert len({result.decision_hash for result in results}) == 1
    assert len({result.journal_head for result in results}) == 1
    first = results[0]
    assert first.decisions == STEPS
    assert first.complete
    assert first.totals.fills > 0, "a run without fills proves little"
    assert len(first.decide_ns) == STEPS


def test_what_decides_is_in_the_hash(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    bundle = bundles["target"]
    spec = bundle.spec.replace(params=bundle.spec.params.replace(entry_ns=30_000_000))
    hashes = {
        "base": run_paper(bundle, tape, tmp_path / "a", steps=50, market=market).decision_hash,
        "latency": run_paper(bundle, tape, tmp_path / "b", steps=50, market=market, spec=spec).decision_hash,
        "longer": run_paper(bundle, tape, tmp_path / "c", steps=51, market=market).decision_hash,
        "start": run_paper(
            bundle, tape, tmp_path / "d", market.start_ns + 10**9, steps=50, market=market
        ).decision_hash,
        "policy": run_paper(bundles["grid"], tape, tmp_path / "e", steps=50, market=market).decision_hash,
    }
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_runtime_is_the_desk_that_trained_it(
    bundles: Loaded, tape: Tape, market: Market, tmp_path: Path, kind: str
) -> None:
    """The same codes through `Desk.step`, as the environments take them, give the same account."""
    bundle = bundles[kind]
    result = run_paper(bundle, tape, tmp_path / "j", steps=STEPS, market=market)
    desk = Desk(bundle.spec, market)
    desk.reset(market.start_ns, 0)
    observation = desk.observe()
    for _ in range(STEPS):
        codes = bundle.policy.decode(bundle.policy.infer(observation[0]))
        observation, step = desk.step(codes[None, :])
    last = bodies(tmp_path / "j", OUTCOME)[-1]["account"]
    assert last["equity"] == int(step.equity[0]) == result.totals.equity_last
    assert last["digest"] == desk.session.digest(0)


def test_every_fill_belongs_to_a_journalled_intent(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    run_paper(bundles["target"], tape, tmp_path / "j", steps=STEPS, market=market)
    decisions, outcomes = bodies(tmp_path / "j", DECISION), bodies(tmp_path / "j", OUTCOME)
    sent: dict[int, dict] = {}
    ids = [intent["id"] for decision in decisions for intent in decision["intents"]]
    assert len(ids) == len(set(ids)) > 0
    for decision, outcome in zip(decisions, outcomes, strict=True):
        sent |= {order: intent for order, intent in zip(outcome["orders"], decision["intents"], strict=True) if order}
        for fill in outcome["fills"]:
            assert fill["side"] == sent[fill["order_id"]]["side"]
            assert fill["submit_ns"] <= fill["exch_ns"]


def test_an_order_is_journalled_before_it_is_sent(bundles: Loaded, market: Market) -> None:
    run = PaperRun(bundles["target"], market, plan_run(market, bundles["target"].spec, None, 50, 0))
    lane = run._desk.session.state.lane
    seen = 0
    for kind, body in run.records():
        if kind == DECISION:
            submits = sum(intent["verdict"] == "ok" and intent["kind"] == 1 for intent in body["intents"])
            assert lane[0]["submits"] == seen, "nothing is sent while the record is out"
            seen += submits
        elif kind == OUTCOME:
            assert lane[0]["submits"] == seen
    assert seen > 10


# -- the guard -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "obs_nonfinite"),
        (np.inf, "obs_nonfinite"),
        (-np.inf, "obs_nonfinite"),
        (1.01, "obs_range"),
        (-7, "obs_range"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_observation_never_reaches_the_policy(bundles: Loaded, kind: str, value: float, reason: str) -> None:
    bundle = bundles[kind]
    layout = bundle.spec.layout
    bundle.policy._session = None  # inference would raise
    for place in (0, layout.size - 1):
        observation = np.zeros(layout.size, np.float32)
        observation[place] = value
        decision = decide(
            bundle.policy, observation, layout.low, layout.high, bundle.spec.idle_codes, bundle.policy.begin()
        )
        assert decision.reason == reason
        assert decision.codes == bundle.spec.idle_codes


def test_an_output_that_is_not_finite_never_reaches_the_desk(
    make_bundle: MakeBundle, specs: dict[str, DeskSpec]
) -> None:
    """Finite on the golden vectors, beyond float32 where all columns are at their bound."""
    spec = specs["target"]
    network = linear(np.full((spec.layout.size, 5), 3e37, np.float32), np.zeros(5, np.float32))
    bundle = load_bundle(make_bundle("target", network=network), allow_ungated=True)
    observation = np.ones(spec.layout.size, np.float32)
    memory = bundle.policy.begin()
    decision = decide(bundle.policy, observation, spec.layout.low, spec.layout.high, spec.idle_codes, memory)
    assert (decision.reason, decision.codes) == ("output_nonfinite", (2,))
    decision = decide(bundle.policy, observation / 10, spec.layout.low, spec.layout.high, spec.idle_codes, memory)
    assert decision.reason == "ok"


def test_guarded_decisions_are_journalled_and_counted(bundles: Loaded, market: Market) -> None:
    run = PaperRun(bundles["grid"], market, plan_run(market, bundles["grid"].spec, None, 10, 0))
    observe, calls = run._desk.observe, iter(range(10))

    def broken() -> np.ndarray:
        observation = observe()
        if next(calls) in (3, 4):
            observation[0, 2] = np.nan
        return observation

    run._desk.observe = broken  # type: ignore[method-assign]
    decisions = [body for kind, body in run.records() if kind == DECISION]
    assert [body["n"] for body in decisions if body["reason"] == "obs_nonfinite"] == [3, 4]
    assert decisions[3]["codes"] == [0, 0, 4, 0, 2]
    assert run.totals.guarded == 2


def test_safe_actions(bundles: Loaded) -> None:
    assert bundles["grid"].spec.idle_codes == (0, 0, 4, 0, 2)
    assert bundles["target"].spec.idle_codes == (2,)
    assert bundles["target"].spec.replace(targets=(0.5, 1.0, -0.25)).idle_codes == (2,)
    assert bundles["maker"].spec.idle_codes == (14, 14, 0, 0)


def test_the_safe_action_takes_risk_off(bundles: Loaded, market: Market) -> None:
    for kind in KINDS:
        spec = bundles[kind].spec
        desk = Desk(spec, market)
        desk.reset(market.start_ns, 0)
        busy = {"grid": (4, 3, 4, 3, 0), "target": (4,), "maker": (6, 6, 2, 4)}[kind]
        for _ in range(20):
            desk.step(np.array([busy], np.int32))
        for _ in range(20):
            desk.step(np.array([spec.idle_codes], np.int32))
        if kind != "target":
            assert len(desk.session.orders(0)) == 0
        else:
            assert desk.session.account(0).position_lots == 0


def test_a_policy_for_parent_orders_is_not_served(make_bundle: MakeBundle, market: Market) -> None:
    bundle = load_bundle(make_bundle("execution"), allow_ungated=True)
    with pytest.raises(PolicyError, match="parent order"):
        PaperRun(bundle, market, plan_run(market, bundle.spec, None, 10, 0))


# -- where and how long ---------------------------------------------------------------------------------------------


def test_the_default_is_the_whole_tape(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    spec = bundles["grid"].spec.replace(interval_ns=3_000_000_000)
    result = run_paper(bundles["grid"], tape, tmp_path / "j", market=market, spec=spec)
    assert result.decisions == (market.end_ns - market.start_ns) // 3_000_000_000
    assert result.complete


def test_a_run_whose_steps_end_early_goes_on_to_the_end_of_the_tape(
    bundles: Loaded, tape: Tape, market: Market, tmp_path: Path
) -> None:
    spec = bundles["maker"].spec.replace(pace="book", pace_min_ns=50_000_000, interval_ns=3_000_000_000)
    run = run_paper(bundles["maker"], tape, tmp_path / "j", market=market, spec=spec)
    last = bodies(tmp_path / "j", DECISION)[-1]
    assert run.complete
    assert run.decisions > (market.end_ns - market.start_ns) // 3_000_000_000
    assert last["t_ns"] <= market.end_ns - 3_000_000_000 < last["t_ns"] + 3_000_000_000
    assert replay(tmp_path / "j", bundles["maker"], tape).ok
    plan = plan_run(market, spec, None, None, 0)
    assert plan.steps == (market.end_ns - market.start_ns - 3_000_000_000) // 50_000_000 + 1 > run.decisions
    short = plan_run(market, spec, market.end_ns - 3_000_000_000, None, 0)
    assert short.steps == 1
    with pytest.raises(TapeExhaustedError, match="none"):
        plan_run(market, spec, market.end_ns - 2_999_999_999, None, 0)


@pytest.mark.parametrize(("start", "steps"), [(0, 1), (10**9, 10**6), (0, 0), (-1, 1)])
def test_more_than_the_tape_holds_is_refused_before_the_journal_exists(
    bundles: Loaded, tape: Tape, market: Market, tmp_path: Path, start: int, steps: int
) -> None:
    if (start, steps) == (0, 1):
        start = market.end_ns - market.start_ns
    with pytest.raises(TapeExhaustedError, match=r"ask for|cannot start at"):
        run_paper(bundles["grid"], tape, tmp_path / "j", market.start_ns + start, steps=steps, market=market)
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("seed", [-1, 1 << 64, 10**30])
def test_a_seed_that_is_none_is_refused_before_the_journal_exists(
    bundles: Loaded, tape: Tape, market: Market, tmp_path: Path, seed: int
) -> None:
    with pytest.raises(ParamsError, match="a seed must lie"):
        run_paper(bundles["grid"], tape, tmp_path / "j", seed=seed, market=market)
    assert not (tmp_path / "j").exists()


def test_progress_counts_every_decision(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    run_paper(
        bundles["grid"],
        tape,
        tmp_path / "j",
        steps=5,
        market=market,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_bundle_by_path_needs_its_gates(make_bundle: MakeBundle, tape: Tape, market: Market, tmp_path: Path) -> None:
    folder = make_bundle()
    with pytest.raises(GateError, match="--shadow"):
        run_paper(folder, tape, tmp_path / "j", steps=2, market=market)
    run_paper(folder, tape, tmp_path / "j", steps=2, market=market, allow_ungated=True)
    assert bodies(tmp_path / "j", "run")[0]["mode"] == "shadow"


# -- resume ----------------------------------------------------------------------------------------------------------


def test_a_journal_is_not_used_twice(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    run_paper(bundles["grid"], tape, tmp_path / "j", steps=5, market=market)
    data = (tmp_path / "j").read_bytes()
    with pytest.raises(ResumeError, match="a journal of its own"):
        run_paper(bundles["grid"], tape, tmp_path / "j", steps=5, market=market)
    again = run_paper(bundles["grid"], tape, tmp_path / "j", steps=5, market=market, resume=True)
    assert again.complete
    assert (tmp_path / "j").read_bytes() == data, "a finished run is verified and left alone"


def test_a_run_killed_at_any_record_ends_as_if_it_had_not_been(
    bundles: Loaded, tape: Tape, tape_file: Path, market: Market, tmp_path: Path
) -> None:
    steps, bundle = 20, bundles["target"]
    whole = run_paper(bundle, tape, tmp_path / "whole", steps=steps, market=market)
    assert whole.totals.fills > 0
    folder = tmp_path / "killed"
    folder.mkdir()
    script = Path(__file__).parent / "kill_runs.py"
    subprocess.run([sys.executable, script, str(bundle.path), str(tape_file), str(folder), str(steps)], check=True)
    killed = sorted(folder.iterdir())
    assert len(killed) == 3 * (2 * steps + 2) > 100
    expected = records(tmp_path / "whole")
    for path in killed:
        result = run_paper(bundle, tape, path, steps=steps, market=market, resume=True, sync="none")
        assert result.decision_hash == whole.decision_hash, path.name
        assert result.complete
        assert records(path) == expected, path.name
        assert (result.torn_copy is not None) == path.name.startswith("torn"), path.name


def records(path: Path) -> list[tuple[str, dict]]:
    """Kinds and bodies, without the marks of resuming."""
    return [(record.kind, record.body) for record in read_journal(path).records if record.kind != RESUME]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "the run record has"),
        ({"steps": 31}, "the run record has"),
        ({"start": 1}, "the run record has"),
        ({"kind": "grid"}, "the run record has"),
    ],
)
def test_only_the_same_run_is_resumed(
    bundles: Loaded, tape: Tape, market: Market, tmp_path: Path, changes: dict, message: str
) -> None:
    path = tmp_path / "j"
    interrupt(bundles["target"], tape, market, path)
    data = path.read_bytes()
    with pytest.raises(ResumeError, match=message):
        run_paper(
            bundles[changes.get("kind", "target")],
            tape,
            path,
            market.start_ns + changes.get("start", 0),
            changes.get("steps", 30),
            changes.get("seed", 0),
            market=market,
            resume=True,
        )
    assert path.read_bytes() == data


def interrupt(bundle: LoadedBundle, tape: Tape, market: Market, path: Path, at: int = 10) -> None:
    """A run of 30 decisions that stops after decision `at`."""

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == at:
            raise Stop

    with pytest.raises(Stop):
        run_paper(bundle, tape, path, steps=30, market=market, progress=stop)


def rewrite(path: Path, change: Callable[[JournalRecord], None]) -> None:
    """Change a journal's bodies and forge its chain anew."""
    from lobgym.runtime.journal import Journal

    content = read_journal(path).records
    path.unlink()
    with Journal(path) as journal:
        for record in content:
            change(record)
            journal.append(record.kind, record.body)


def test_a_forged_decision_is_found_on_resume(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    path = tmp_path / "j"
    interrupt(bundles["target"], tape, market, path)

    def forge(record: JournalRecord) -> None:
        if record.kind == DECISION and record.body["n"] == 4:
            record.body["codes"] = [(record.body["codes"][0] + 1) % 5]

    rewrite(path, forge)
    with pytest.raises(ResumeError, match="decision 4 has codes"):
        run_paper(bundles["target"], tape, path, steps=30, market=market, resume=True)


def test_a_corrupt_journal_is_not_resumed(bundles: Loaded, tape: Tape, market: Market, tmp_path: Path) -> None:
    path = tmp_path / "j"
    interrupt(bundles["target"], tape, market, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalCorruptError, match="WAL_CORRUPT"):
        run_paper(bundles["target"], tape, path, steps=30, market=market, resume=True)
    assert path.read_bytes() == data


# -- a process of its own ----------------------------------------------------------------------------------------------


def test_serving_imports_no_training_stack(make_bundle: MakeBundle, tape_file: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from lobgym.runtime.__main__ import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'gymnasium', 'stable_baselines3', 'lobgym.envs', 'lobgym.agents', 'matplotlib', 'typer'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    arguments = [str(make_bundle()), str(tape_file), str(tmp_path / "j"), "--steps", "20", "--shadow"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
    assert done.returncode == 0
    line = json.loads(done.stdout)
    assert line["decisions"] == 20
    assert line["complete"]
    assert line["decision_hash"] == bodies(tmp_path / "j", "footer")[0]["trace"]


def test_a_refusal_is_one_line(make_bundle: MakeBundle, tape_file: Path, tmp_path: Path) -> None:
    from lobgym.runtime.__main__ import main

    arguments = [str(make_bundle()), str(tape_file), str(tmp_path / "j")]
    done = subprocess.run(
        [sys.executable, "-m", "lobgym.runtime", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("GateError: ")
    assert done.stderr.count("\n") == 1
    assert main([*arguments[:2], str(tmp_path / "nowhere" / "j"), "--shadow"]) == 1
