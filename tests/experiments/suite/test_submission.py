"""Bundles handed in: what is on the board was run here, from the hash, and what does not come out is refused.

Method: honest bundles of small made-up networks, then the same with one thing wrong at a time. Every refusal has a type
of its own, and leaves nothing behind that counts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lobgym.agents.errors import JobError
from lobgym.agents.trials import LEDGER_FILE, read_trials
from lobgym.experiments.cli import app, main
from lobgym.experiments.errors import EvaluationError, SubmissionError
from lobgym.experiments.suite import submission
from lobgym.experiments.suite.plan import SuitePlan
from lobgym.experiments.suite.players import keep_bundle, steps_of
from lobgym.experiments.suite.run import Workers, board_again, run_suite
from lobgym.experiments.suite.submission import Submission, submit_bundle
from lobgym.runtime.bundle import write_bundle
from lobgym.runtime.canonical import sha256_hex
from lobgym.runtime.errors import BundleError, ModelError
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.params import SimParams
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import MakeBundle, make_bundle, market, meta, specs, tape
from tests.runtime.models import linear, mlp

__all__ = ["make_bundle", "market", "specs", "tape"]  # fixtures

PLAN = SuitePlan(("synth?seed=5&minutes=3", "synth?seed=6&minutes=3"), seeds=5, episodes=2)
SERIAL = Workers(backend="serial")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite on which only doing nothing has been ranked so far."""
    root = tmp_path / "suites" / "one"
    run_suite(PLAN, root, only=["flat@target"], command="lobgym leaderboard", workers=SERIAL)
    return root


def submit(bundle: Path, root: Path, **given: Any) -> Submission:
    return submit_bundle(bundle, root, workers=SERIAL, **given)


def manifest_sha256(bundle: Path) -> str:
    return sha256_hex((bundle / "manifest.json").read_bytes())


def profits(found: Submission) -> list[list[int]]:
    return [cell.pnl_units for cell in found.claim.cells]


def test_what_is_handed_in_is_run_and_ranked(make_bundle: MakeBundle, suite: Path) -> None:
    bundle = make_bundle("target", "theirs")
    found = submit(bundle, suite, expect=manifest_sha256(bundle))
    assert [cell.market for cell in found.claim.cells] == list(PLAN.tapes)
    assert any(units for row in profits(found) for units in row)
    board = board_again(suite, workers=SERIAL)
    rows = {row["policy"]: row for row in board.data["rows"]}
    assert set(rows) == {"flat", "theirs"}
    assert rows["theirs"]["kind"] == "submitted"
    assert rows["theirs"]["digest"] == found.claim.digest
    assert rows["theirs"]["sha256"] == [found.claim.bundle_sha256]
    assert f"--expect {found.claim.bundle_sha256}" in rows["theirs"]["command"]
    trials = read_trials(suite.parent / LEDGER_FILE)
    assert [trial.kind for trial in trials] == ["submission"] * 2, "it counts once on each market"
    assert {trial.tape_digest for trial in trials} == {cell.tape_digest for cell in found.claim.cells}
    # The board needs the author's folder no more; what it keeps is under its hash.
    for file in bundle.iterdir():
        file.unlink()
    assert board_again(suite, workers=SERIAL).data == board.data


def test_a_claim_is_checked_elsewhere(make_bundle: MakeBundle, suite: Path, tmp_path: Path) -> None:
    bundle = make_bundle("target", "theirs")
    found = submit(bundle, suite)
    other = tmp_path / "suites" / "two"
    run_suite(PLAN, other, only=["flat@target"], workers=SERIAL)
    assert submit(bundle, other, claim=found.file).claim == found.claim


def edited(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    claim = json.loads(file.read_bytes())["claim"]
    change(claim)
    path = file.parents[1] / "claim.json"
    path.write_text(json.dumps(claim))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda claim: claim["cells"][1]["pnl_units"].__setitem__(0, 10**12), "claimed to earn .*1000000000000"),
        (lambda claim: claim["cells"][0].update(digest="0" * 64), "other figures differ"),
        (lambda claim: claim["cells"][0].update(score_bps=1e6), "which score .* not 1000000"),
        (lambda claim: claim["cells"].insert(0, claim["cells"][0] | {"pnl_units": [10**12] * 5}), "two results on one"),
        (lambda claim: claim.update(digest="0" * 64), "contradicts itself: its digest"),
        (lambda claim: claim.update(policy_sha256="0" * 64), "contradicts itself: its policy_sha256"),
        (lambda claim: claim.update(name="other"), "contradicts itself: its name"),
        (lambda claim: claim.update(episodes=3), "claimed are 5 seeds of 3 episodes"),
        (lambda claim: claim["cells"].append(claim["cells"][0] | {"tape_digest": "0" * 64}), "only in one of them"),
        (lambda claim: claim.update(bundle_sha256="0" * 64), "another bundle than the one claimed for"),
        (lambda claim: claim["cells"].pop(), "only in one of them"),
        (lambda claim: claim["cells"][0].update(tape_digest="0" * 64), "only in one of them"),
        (lambda claim: claim.update(seeds=6), "claimed are 6 seeds"),
        (lambda claim: claim.update(extra=1), "no claim that"),
        (lambda claim: claim.update(schema="lobgym.submission/9"), "expected lobgym.submission/1"),
        (lambda claim: claim["cells"][0].update(pnl_units=["many"]), "no claim that"),
        (lambda claim: claim.update(cells=claim["cells"] * 40), "at most 64 cells"),
    ],
)
def test_a_claim_that_does_not_come_out_is_refused(
    make_bundle: MakeBundle, suite: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    bundle = make_bundle("target", "theirs")
    found = submit(bundle, suite)
    claim = edited(found.file, change)
    found.file.unlink()
    with pytest.raises(SubmissionError, match=message):
        submit(bundle, suite, claim=claim)
    assert not list((suite / "submissions").iterdir())
    assert [row["policy"] for row in board_again(suite, workers=SERIAL).data["rows"]] == ["flat"]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "{}", '{"claim": 3}', "\x00", "x" * ((4 << 20) + 1)])
def test_a_claim_that_is_none_is_refused(make_bundle: MakeBundle, suite: Path, tmp_path: Path, text: str) -> None:
    claim = tmp_path / "claim.json"
    claim.write_text(text)
    with pytest.raises(SubmissionError, match=r"no claim that|maximum for a claim"):
        submit(make_bundle("target", "theirs"), suite, claim=claim)
    with pytest.raises(SubmissionError, match="cannot read the claim"):
        submit(make_bundle("target", "other"), suite, claim=tmp_path / "nowhere")


def test_another_bundle_than_the_one_of_the_hash_is_refused(make_bundle: MakeBundle, suite: Path) -> None:
    one, other = make_bundle("target", "one"), make_bundle("target", "other")
    with pytest.raises(SubmissionError, match="another bundle than the one expected"):
        submit(one, suite, expect=manifest_sha256(other))
    assert not (suite / "submissions").exists()
    assert not (suite / "bundles" / manifest_sha256(one)).exists(), "what is refused is not kept"


def swap_network(bundle: Path) -> None:
    network = mlp(*shape_of(bundle), seed=1)
    (bundle / "policy.onnx").write_bytes(network)


def swap_network_and_hash(bundle: Path) -> None:
    swap_network(bundle)
    edit(bundle, policy_sha256=sha256_hex((bundle / "policy.onnx").read_bytes()))


def edit_golden(bundle: Path) -> None:
    golden = json.loads((bundle / "manifest.json").read_bytes())["golden"]
    golden["codes"][0][0] = (golden["codes"][0][0] + 1) % 5
    edit(bundle, golden=golden)


def link_manifest(bundle: Path) -> None:
    moved = bundle.with_name("elsewhere.json")
    (bundle / "manifest.json").rename(moved)
    (bundle / "manifest.json").symlink_to(moved)


def bomb(bundle: Path) -> None:
    with (bundle / "policy.onnx").open("wb") as sparse:
        sparse.truncate(1 << 30)


def edit(bundle: Path, **changes: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def shape_of(bundle: Path) -> tuple[int, int]:
    spec = DeskSpec.from_json(json.loads((bundle / "manifest.json").read_bytes())["spec"])
    return spec.layout.size, spec.action.bins[0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap_network, "policy.onnx was changed"),
        (swap_network_and_hash, "golden vector"),
        (edit_golden, "golden vector 0"),
        (link_manifest, "cannot read"),
        (bomb, "maximum for this file"),
        (lambda bundle: (bundle / "policy.onnx").unlink(), "cannot read"),
        (lambda bundle: (bundle / "manifest.json").write_text("[" * 100_000), "malformed"),
        (lambda bundle: edit(bundle, name="<script>"), "name is 1 to 64"),
        (lambda bundle: edit(bundle, extra=1), "malformed"),
    ],
)
def test_a_bundle_that_is_not_what_it_says_is_refused(
    make_bundle: MakeBundle, suite: Path, damage: Callable[[Path], None], message: str
) -> None:
    bundle = make_bundle("target", "theirs")
    damage(bundle)
    with pytest.raises(BundleError, match=message):
        submit(bundle, suite)
    assert not (suite / "submissions").exists()
    assert not list((suite / "bundles").glob("*")), "what is refused is not kept"


def test_a_network_that_is_no_plain_network_is_refused(make_bundle: MakeBundle, suite: Path) -> None:
    bundle = make_bundle("target", "theirs")
    (bundle / "policy.onnx").write_bytes(b"\x08\x07not a network")
    edit(bundle, policy_sha256=sha256_hex((bundle / "policy.onnx").read_bytes()))
    with pytest.raises(ModelError):
        submit(bundle, suite)


def test_another_network_under_an_accepted_manifest_is_refused(make_bundle: MakeBundle, suite: Path) -> None:
    bundle = make_bundle("target", "theirs")
    first = submit(bundle, suite)
    swap_network(bundle)
    with pytest.raises(BundleError, match=r"policy\.onnx was changed"):
        submit(bundle, suite)
    kept = suite / "bundles" / first.claim.bundle_sha256 / "policy.onnx"
    kept.write_bytes((bundle / "policy.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"policy\.onnx was changed"):
        submit(make_again(bundle), suite)


def make_again(bundle: Path) -> Path:
    (bundle / "policy.onnx").write_bytes(mlp(*shape_of(bundle)))
    return bundle


def test_a_venue_and_a_limit_of_its_own_gain_nothing(
    make_bundle: MakeBundle, suite: Path, specs: dict[str, DeskSpec]
) -> None:
    plain = specs["target"]
    free = SimParams.from_json(
        plain.params.to_json() | {"maker_fee_ppb": 0, "taker_fee_ppb": 0, "entry_ns": 0, "response_ns": 0}
    )
    cheap = plain.replace(params=free)
    assert cheap.params.digest != plain.params.digest, "the venue should be another one"
    risk = plain.risk
    large = plain.replace(
        position_lots_max=10 * plain.position_lots_max,
        risk=risk.replace(
            position_lots_max=10 * risk.position_lots_max,
            order_lots_max=10 * risk.order_lots_max,
            notional_max=10 * risk.notional_max,
        ),
    )
    honest = submit(make_bundle("target", "honest"), suite)
    for name, spec in (("cheap", cheap), ("large", large)):
        found = submit(make_bundle("target", name, spec=spec), suite)
        assert profits(found) == profits(honest)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("execution", {}, "parent orders"),
        ("target", {"pace": "book"}, "pace 'book'"),
        ("target", {"interval_ns": 1_000_000}, "divides an episode"),
        ("target", {"interval_ns": 700_000_000}, "divides an episode"),
        ("target", {"interval_ns": 3_000_000_000}, "divides an episode"),
    ],
)
def test_a_desk_that_cannot_be_judged_is_refused(
    make_bundle: MakeBundle, suite: Path, specs: dict[str, DeskSpec], kind: str, changes: dict[str, Any], message: str
) -> None:
    bundle = make_bundle(kind, "theirs", spec=specs[kind].replace(**changes))
    before = sorted((suite / "cells").iterdir())
    with pytest.raises(SubmissionError, match=message):
        submit(bundle, suite)
    assert not (suite / "submissions").exists()
    assert sorted((suite / "cells").iterdir()) == before, "it is refused before anything is computed"


def test_an_episode_has_ten_decisions_at_least(specs: dict[str, DeskSpec]) -> None:
    spec = specs["target"]
    assert steps_of(spec, 10 * spec.interval_ns) == 10
    with pytest.raises(SubmissionError, match="at least 10 steps"):
        steps_of(spec, 9 * spec.interval_ns)


def test_a_bundle_that_is_exchanged_while_it_is_read_is_refused(
    make_bundle: MakeBundle, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_bundle("target", "one"), make_bundle("target", "other")
    monkeypatch.setattr(submission, "keep_bundle", lambda folder, root: keep_bundle(other, root))
    with pytest.raises(SubmissionError, match="another bundle than the one expected"):
        submit(one, suite, expect=manifest_sha256(one))
    assert not (suite / "submissions").exists()


def test_a_kept_bundle_that_was_changed_is_not_run(make_bundle: MakeBundle, suite: Path) -> None:
    found = submit(make_bundle("target", "theirs"), suite)
    kept = suite / "bundles" / found.claim.bundle_sha256
    edit(kept, name="renamed")
    shutil.rmtree(suite / "cells")
    with pytest.raises(JobError, match="was changed: its manifest has sha256"):
        board_again(suite, workers=SERIAL)


def test_another_instrument_is_refused(make_bundle: MakeBundle, suite: Path, tape: Tape) -> None:
    instrument = tape.instrument.to_json() | {"symbol": "OTHER"}
    with pytest.raises(SubmissionError, match="an instrument that none of the 2 markets has"):
        submit(make_bundle("target", "theirs", instrument=instrument), suite)


def test_outputs_that_are_not_finite_are_refused(
    tmp_path: Path, suite: Path, tape: Tape, specs: dict[str, DeskSpec]
) -> None:
    """Golden vectors of zeros hide a network that overflows on anything else."""
    spec = specs["target"]
    network = linear(np.full((spec.layout.size, 5), 3e38, np.float32), np.zeros(5, np.float32))
    zeros = np.zeros((1, spec.layout.size), np.float32)
    bundle = write_bundle(tmp_path / "theirs", network, spec, meta(tape), zeros)
    with pytest.raises(SubmissionError, match="not finite"):
        submit(bundle, suite)


def test_nobody_stands_on_the_board_under_another_ones_name(make_bundle: MakeBundle, suite: Path) -> None:
    found = submit(make_bundle("target", "flat"), suite)
    rows = board_again(suite, workers=SERIAL).data["rows"]
    assert sorted(row["policy"] for row in rows) == ["flat", f"flat-{found.claim.bundle_sha256[:8]}"]
    assert next(row for row in rows if row["policy"] == "flat")["kind"] == "fixed"


def test_where_there_is_no_suite_nothing_is_handed_in(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="run `lobgym leaderboard --suite"):
        submit(make_bundle("target", "theirs"), tmp_path / "nowhere")


def test_the_command_line(
    make_bundle: MakeBundle, suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle("target", "theirs")
    words = ["leaderboard", "submit", str(bundle), "--out", str(suite), "--backend", "serial"]
    result = CliRunner().invoke(app, [*words, "--expect", manifest_sha256(bundle), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    claim = json.loads(result.stdout)
    assert claim["bundle_sha256"] == manifest_sha256(bundle)
    assert "theirs" in (suite / "index.html").read_text()
    assert "handed in" in (suite / "index.html").read_text()
    monkeypatch.setattr("sys.argv", ["lobgym", *words, "--expect", "0" * 64])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "another bundle than the one expected" in capsys.readouterr().err
