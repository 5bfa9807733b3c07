"""Several agents under a router as one bundle: who acts, what is recorded, and what must not be loaded.

The oracle reads the network's row in plain Python, decision by decision along the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lobgym.runtime.bundle import LoadedBundle, load_bundle
from lobgym.runtime.engine import DECISION, PaperRun, decide, plan_run
from lobgym.runtime.errors import BundleError, ModelError, PolicyError
from lobgym.runtime.hierarchy import NOBODY
from lobgym.runtime.journal import Journal, read_journal
from lobgym.runtime.manifest import Manifest
from lobgym.runtime.paper import run_paper
from lobgym.runtime.replay import replay
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import MakeBundle
from tests.runtime.models import mlp

CHOICES, AGENTS, ACTIONS, MACRO, STEPS = 3, 4, 5, 7, 200
MEMBERS = [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1], [0, 2, 1]]
PLAN: dict[str, Any] = {
    "macro_steps": MACRO,
    "positions": [-1.0, -0.5, 0.0, 0.5, 1.0],
    "rounding": "nearest",
    "members": MEMBERS,
    "agents": [f"{number:064x}" for number in range(AGENTS)],
    "router": "f" * 64,
}
Make = Callable[..., LoadedBundle]


@pytest.fixture
def make(make_bundle: MakeBundle, specs: dict[str, DeskSpec]) -> Make:
    """A loaded hierarchy of a random network; keywords change the plan."""

    def made(name: str = "chain", seed: int = 4, **changes: Any) -> LoadedBundle:
        network = mlp(specs["target"].layout.size, CHOICES + AGENTS * ACTIONS, seed=seed)
        folder = make_bundle("target", name, network, hierarchy=PLAN | changes)
        return load_bundle(folder, allow_ungated=True)

    return made


def row_for(held: float, positions: list[float], rounding: str) -> int:
    """Plain Python: which row of members belongs to a position."""
    if rounding == "nearest":
        return min(range(len(positions)), key=lambda k: (abs(positions[k] - held), k))
    return max([0, *(k for k, position in enumerate(positions) if np.float32(position) <= held)])


def best(values: list[float]) -> int:
    return max(range(len(values)), key=lambda k: (values[k], -k))


@pytest.mark.parametrize("rounding", ["nearest", "down"])
def test_every_record_names_the_choice_and_the_agent_that_acted(
    make: Make, tape: Tape, market: Market, tmp_path: Path, rounding: str
) -> None:
    bundle = make(rounding=rounding)
    result = run_paper(bundle, tape, tmp_path / "j", steps=STEPS, market=market)
    assert result.totals.fills > 0
    records = [record.body for record in read_journal(tmp_path / "j").records if record.kind == DECISION]
    column = bundle.spec.layout.columns.index("inventory")
    desk = Desk(bundle.spec, market)
    desk.reset(market.start_ns, 0)
    seen, choice, agent = desk.observe(), NOBODY, NOBODY
    rows = set()
    for number, record in enumerate(records):
        raw = bundle.policy.infer(seen[0]).tolist()
        if number % MACRO == 0:
            row = row_for(float(seen[0, column]), PLAN["positions"], rounding)
            choice = best(raw[:CHOICES])
            agent = MEMBERS[row][choice]
            rows.add(row)
        values = raw[CHOICES + agent * ACTIONS :][:ACTIONS]
        assert (record["choice"], record["agent"], record["codes"]) == (choice, agent, [best(values)])
        seen, _ = desk.step(np.array([record["codes"]], np.int32))
    assert len(rows) >= 3, "members of several positions must have acted"
    assert len({record["choice"] for record in records}) > 1
    assert len({record["agent"] for record in records}) >= 3


def test_a_run_comes_out_again_and_is_taken_up_again(make: Make, tape: Tape, market: Market, tmp_path: Path) -> None:
    """Broken off in the middle of a macro step, where what holds is not in the observation."""
    bundle = make()
    whole = run_paper(bundle, tape, tmp_path / "whole", steps=60, market=market)
    result = replay(tmp_path / "whole", bundle, tape)
    assert result.ok
    assert result.decision_hash == whole.decision_hash

    records = read_journal(tmp_path / "whole").records
    with Journal(tmp_path / "part") as part:
        for record in records[: 1 + 2 * (2 * MACRO + 3)]:
            part.append(record.kind, record.body)
    again = run_paper(bundle, tape, tmp_path / "part", steps=60, market=market, resume=True)
    assert again.decision_hash == whole.decision_hash
    assert replay(tmp_path / "part", bundle, tape).ok


@pytest.mark.parametrize("field", ["choice", "agent"])
def test_a_forged_name_is_found(make: Make, tape: Tape, market: Market, tmp_path: Path, field: str) -> None:
    bundle = make()
    run_paper(bundle, tape, tmp_path / "j", steps=30, market=market)
    with Journal(tmp_path / "forged") as forged:
        for record in read_journal(tmp_path / "j").records:
            if record.kind == DECISION and record.body["n"] == 11:
                record.body[field] = (record.body[field] + 1) % 3
            forged.append(record.kind, record.body)
    found = replay(tmp_path / "forged", bundle, tape).first_difference
    assert found is not None
    assert (found.decision, found.field) == (11, field)


def test_who_acted_is_in_the_hash(make: Make, market: Market) -> None:
    """Two pools whose agents are twins trade alike, and are told apart all the same."""
    one, other = (
        make(name, members=[*MEMBERS[:2], row, *MEMBERS[3:]]) for name, row in (("a", [0, 1, 2]), ("b", [3] * 3))
    )
    size = one.policy.outputs
    values = np.zeros(size, np.float32)
    values[CHOICES + 2 :: ACTIONS] = 1.0
    ends = []
    for bundle in (one, other):
        bundle.policy.infer = lambda observation, memory=None: values  # type: ignore[method-assign]
        run = PaperRun(bundle, market, plan_run(market, bundle.spec, None, 20, 0))
        ends.append((list(run.records())[-1][1]["totals"], run.trace))
    assert ends[0][0] == ends[1][0]
    assert ends[0][1] != ends[1][1]


def test_the_guard_acts_for_nobody_and_the_clock_goes_on(make: Make, market: Market) -> None:
    bundle = make()
    spec = bundle.spec
    memory = bundle.policy.begin()
    clock = memory.clock
    assert clock is not None
    bad = np.full(spec.layout.size, np.nan, np.float32)
    good = np.zeros(spec.layout.size, np.float32)
    guarded = {0, 1, 9, MACRO * 2, MACRO * 2 + 1}
    due = []
    for number in range(MACRO * 4):
        held = clock.agent
        seen = bad if number in guarded else good
        decision = decide(bundle.policy, seen, spec.layout.low, spec.layout.high, spec.idle_codes, memory)
        if number in guarded:
            assert (decision.choice, decision.agent, decision.codes) == (NOBODY, NOBODY, spec.idle_codes)
            assert clock.agent == held
        else:
            assert decision.agent == clock.agent >= 0
        due.append(clock.due)
    # Late choices after the guard, at 2 and 16; the later ones are at 7, 21 as if nothing had happened.
    assert [number for number, waiting in enumerate(due) if waiting] == [0, 1, 14, 15]


def test_every_run_begins_with_a_choice_of_its_own(make: Make, market: Market) -> None:
    bundle = make()
    plan = plan_run(market, bundle.spec, None, 10, 0)
    first = [body for kind, body in PaperRun(bundle, market, plan).records() if kind == DECISION]
    again = [body for kind, body in PaperRun(bundle, market, plan).records() if kind == DECISION]
    assert first == again, "10 decisions end within a macro step, which must not reach into the next run"


# -- what stays as it was --------------------------------------------------------------------------------------------


def test_other_policies_keep_their_manifests_and_records(
    make_bundle: MakeBundle, tape: Tape, market: Market, tmp_path: Path
) -> None:
    """The fields of format 1, as they were before there were hierarchies."""
    folder = make_bundle("target")
    assert " ".join(sorted(json.loads((folder / "manifest.json").read_bytes()))) == (
        "action_high action_kind action_low algo commit created_by format golden instrument layout_hash name "
        "policy_sha256 seed sim_source_sha256 spec spec_digest tape_digests training_steps"
    )
    run_paper(folder, tape, tmp_path / "j", steps=3, market=market, allow_ungated=True)
    decision = next(record.body for record in read_journal(tmp_path / "j").records if record.kind == DECISION)
    assert " ".join(sorted(decision)) == "codes intents margin n obs reason run session t_ns"


# -- what must not be loaded -------------------------------------------------------------------------------------------


def edited(bundle: LoadedBundle, **changes: Any) -> Path:
    path = bundle.path / "manifest.json"
    data = json.loads(path.read_bytes())
    data["hierarchy"] |= changes
    path.write_text(json.dumps(data))
    return bundle.path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"macro_steps": 0}, "0 steps between choices"),
        ({"macro_steps": 1 << 40}, "steps between choices"),
        ({"rounding": "up"}, "rounds positions 'up'"),
        ({"positions": [-1.0, -0.5, 0.5, 0.0, 1.0]}, "not rising"),
        ({"positions": [-2.0, -0.5, 0.0, 0.5, 1.0]}, "not rising within"),
        ({"positions": [0.0, 1.0]}, "one row of members for each position"),
        ({"positions": [], "members": []}, "not rising"),
        ({"members": [[0, 1, 2]] * 4 + [[0, 1]]}, "all of one length"),
        ({"members": [[]] * 5}, "all of one length"),
        ({"members": [[0, 1, 4]] * 5}, r"names agents \[0, 1, 4\] of 4"),
        ({"members": [[0, 1, -1]] * 5}, "names agents"),
        ({"agents": []}, "0 agents"),
        ({"agents": ["0" * 64] * 257}, "257 agents"),
        ({"unknown": 1}, "malformed"),
        ({"router": 7}, "malformed"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(edited(make(), **changes), allow_ungated=True)


def test_a_network_of_another_width_is_refused(make: Make) -> None:
    with pytest.raises(ModelError, match="15 inputs and 28 outputs"):
        load_bundle(edited(make(), agents=["0" * 64] * 5), allow_ungated=True)


def test_other_members_show_in_the_golden_vectors(make: Make) -> None:
    """A manifest edited so that it is consistent in itself still names other agents than the exporter did."""
    with pytest.raises(BundleError, match=r"golden vector \d: expected the codes"):
        load_bundle(edited(make(), members=[row[1:] + row[:1] for row in MEMBERS]), allow_ungated=True)


def test_only_a_target_desk_has_a_hierarchy(make_bundle: MakeBundle, specs: dict[str, DeskSpec]) -> None:
    with pytest.raises(BundleError, match="desk of kind 'target'"):
        make_bundle("grid", hierarchy=PLAN)
    blind = specs["target"].replace(layout=type(specs["target"].layout)(("spread", "imbalance_1")))
    with pytest.raises(BundleError, match="column 'inventory'"):
        make_bundle("target", spec=blind, network=mlp(2, CHOICES + AGENTS * ACTIONS), hierarchy=PLAN)
    with pytest.raises(BundleError, match="does not fit the manifest"):
        make_bundle("target", hierarchy=PLAN | {"positions": "all"})


def test_a_row_alone_says_nothing(make: Make) -> None:
    bundle = make()
    with pytest.raises(PolicyError, match="position and the clock"):
        bundle.policy.decode(np.zeros(bundle.policy.outputs, np.float32))


def test_the_margin_is_the_nearer_of_two_decisions(make: Make) -> None:
    """The router's where it chose, the agent's at every decision; in millionths."""
    bundle = make()
    reader, clock = bundle.policy.reader, bundle.policy.begin().clock
    assert reader is not None
    assert clock is not None
    raw = np.zeros(reader.outputs, np.float32)
    raw[:CHOICES] = (1.0, 3.0, 2.75)
    flat_agent = MEMBERS[2][1]
    raw[CHOICES + flat_agent * ACTIONS :][:ACTIONS] = (0.0, 0.0, 5.0, 4.5, 0.0)
    observation = np.zeros(bundle.spec.layout.size, np.float32)
    clock.tick()
    assert bundle.policy.judge(raw, observation, clock)[:4] == ((2,), 250_000, 1, flat_agent)
    clock.tick()
    assert bundle.policy.judge(raw, observation, clock)[:4] == ((2,), 500_000, 1, flat_agent)


def test_a_manifest_of_a_hierarchy_comes_back(make: Make) -> None:
    bundle = make()
    data = (bundle.path / "manifest.json").read_bytes()
    manifest = msgspec.json.decode(data, type=Manifest)
    assert msgspec.to_builtins(manifest.hierarchy) == PLAN
    assert {len(codes) for codes in manifest.golden.codes} == {3}
