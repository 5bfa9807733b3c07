"""Replay names what differs: the decision and the field, and before that which input is not the run's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.engine import DECISION, FOOTER, OUTCOME
from lobgym.runtime.errors import JournalCorruptError, JournalError
from lobgym.runtime.journal import Journal, read_journal
from lobgym.runtime.paper import run_paper
from lobgym.runtime.replay import Difference, replay
from lobgym.sim.market import Market
from lobgym.sim.records import DEPTH
from lobgym.sim.tape import Tape
from lobgym.sim.view import best_bid
from tests.runtime.fixtures import KINDS, MakeBundle
from tests.runtime.models import mlp

STEPS = 200


@pytest.fixture
def journal(make_bundle: MakeBundle, tape: Tape, market: Market, tmp_path: Path) -> Path:
    """The journal of a target policy's run; its bundle lies beside it as `target`."""
    bundle = load_bundle(make_bundle("target", "target"), allow_ungated=True)
    run_paper(bundle, tape, tmp_path / "journal", steps=STEPS, market=market)
    return tmp_path / "journal"


def forge(path: Path, change: Callable[[str, dict[str, Any]], None], keep: int | None = None) -> None:
    """Change bodies and forge the chain anew; `keep` cuts the journal after that many records."""
    content = read_journal(path).records
    path.unlink()
    with Journal(path) as journal:
        for record in content[:keep]:
            change(record.kind, record.body)
            journal.append(record.kind, record.body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_comes_out_again(make_bundle: MakeBundle, tape: Tape, market: Market, tmp_path: Path, kind: str) -> None:
    folder = make_bundle(kind)
    run = run_paper(folder, tape, tmp_path / "j", market.start_ns + 10**9, 100, 3, allow_ungated=True)
    result = replay(tmp_path / "j", folder, tape)
    assert result.ok
    assert result.complete
    assert result.first_difference is None
    assert result.mismatches == ()
    assert result.decisions == 100
    assert result.decision_hash == result.journalled_hash == run.decision_hash


def test_a_run_on_another_desk_comes_out_again(
    make_bundle: MakeBundle, tape: Tape, market: Market, tmp_path: Path
) -> None:
    """The run record carries the desk, so stress runs replay too."""
    bundle = load_bundle(make_bundle("target"), allow_ungated=True)
    spec = bundle.spec.replace(params=bundle.spec.params.replace(taker_fee_ppb=1_000_000, entry_ns=0))
    run_paper(bundle, tape, tmp_path / "j", steps=50, market=market, spec=spec)
    assert replay(tmp_path / "j", bundle, tape).ok


@pytest.mark.parametrize(
    ("kind", "number", "field", "value"),
    [
        (DECISION, 17, "codes", [0]),
        (DECISION, 30, "obs", "0" * 64),
        (DECISION, 31, "t_ns", 5),
        (OUTCOME, 44, "fills", [{"qty": 1}]),
        (OUTCOME, 45, "account", {}),
        (OUTCOME, 199, "trace", "0" * 64),
    ],
)
def test_the_first_forged_record_is_named(
    journal: Path, tape: Tape, tmp_path: Path, kind: str, number: int, field: str, value: Any
) -> None:
    def change(one: str, body: dict[str, Any]) -> None:
        if one == kind and body["n"] >= number:
            body[field] = value if body[field] != value else [1]

    forge(journal, change)
    result = replay(journal, tmp_path / "target", tape)
    assert not result.ok
    assert result.first_difference is not None
    assert (result.first_difference.decision, result.first_difference.field) == (number, field)
    assert result.mismatches == ()
    assert f"decision {number}: {field}" in str(result.first_difference)


def test_another_simulator_is_noted_and_judged_by_what_it_does(journal: Path, tape: Tape, tmp_path: Path) -> None:
    def change(kind: str, body: dict[str, Any]) -> None:
        if kind == "run":
            body["sim_source_sha256"] = "0" * 64

    forge(journal, change)
    result = replay(journal, tmp_path / "target", tape)
    assert result.ok
    assert result.notes == ("the run was made by another version of the simulator",)


def test_a_forged_footer_is_named(journal: Path, tape: Tape, tmp_path: Path) -> None:
    def change(kind: str, body: dict[str, Any]) -> None:
        if kind == FOOTER:
            body["totals"]["equity_last"] += 1

    forge(journal, change)
    result = replay(journal, tmp_path / "target", tape)
    assert result.first_difference is not None
    assert (result.first_difference.decision, result.first_difference.field) == (STEPS, "totals")


def test_the_margin_is_evidence_and_not_compared(journal: Path, tape: Tape, tmp_path: Path) -> None:
    def change(kind: str, body: dict[str, Any]) -> None:
        if kind == DECISION:
            body["margin"] += 1

    forge(journal, change)
    assert replay(journal, tmp_path / "target", tape).ok


def test_a_run_cut_off_replays_and_says_so(journal: Path, tape: Tape, tmp_path: Path) -> None:
    forge(journal, lambda kind, body: None, keep=2 * 20 + 2)
    result = replay(journal, tmp_path / "target", tape)
    assert result.ok
    assert not result.complete


def test_a_tape_with_one_changed_event_is_named_and_so_is_its_first_decision(
    journal: Path, tape: Tape, market: Market, tmp_path: Path
) -> None:
    events = tape.events.copy()
    start = market.start_ns + 10 * 10**9
    rows = np.flatnonzero((events["kind"] == DEPTH) & (events["exch_ns"] > start) & (events["qty_lots"] > 0))
    # The best bid's quantity, so that what the policy sees changes.
    bests = rows[events["price_ticks"][rows] == _best_bid_near(market, start)]
    row = int(bests[0]) if len(bests) else int(rows[0])
    events["qty_lots"][row] += 5000
    result = replay(journal, tmp_path / "target", Tape(events, tape.instrument))
    assert not result.ok
    assert len(result.mismatches) == 1
    assert "the tape is not the one of the run" in result.mismatches[0]
    assert tape.digest in result.mismatches[0]
    assert result.first_difference is not None
    first_possible = (int(events["local_ns"][row]) - market.start_ns) // 100_000_000
    assert first_possible <= result.first_difference.decision < STEPS


def _best_bid_near(market: Market, t_ns: int) -> int:
    return int(best_bid(market.local_view[0], np.searchsorted(market.local.ns, t_ns) + 51))


def test_another_bundle_is_named_and_so_is_the_first_decision(
    journal: Path, make_bundle: MakeBundle, tape: Tape
) -> None:
    other = make_bundle("target", "other", mlp(15, 5, seed=9))
    result = replay(journal, other, tape)
    assert not result.ok
    assert [line.split(" is not")[0] for line in result.mismatches] == ["the bundle's policy", "the bundle's manifest"]
    assert result.first_difference is not None
    assert result.first_difference.field == "codes"


def test_a_tampered_bundle_is_the_difference_unless_tolerated(journal: Path, tape: Tape, tmp_path: Path) -> None:
    tampered = tmp_path / "tampered"
    shutil.copytree(tmp_path / "target", tampered)
    (tampered / "policy.onnx").write_bytes(mlp(15, 5, seed=9))
    result = replay(journal, tampered, tape)
    assert not result.ok
    assert result.first_difference is not None
    assert (result.first_difference.decision, result.first_difference.field) == (-1, "bundle")
    assert "policy.onnx was changed" in str(result.first_difference)

    result = replay(journal, tampered, tape, tolerate_mismatch=True)
    assert not result.ok
    assert result.first_difference is not None
    assert result.first_difference.decision >= 0
    assert result.first_difference.field == "codes"
    assert any("policy.onnx was changed" in line for line in result.mismatches)
    assert any("golden vector" in line for line in result.mismatches)


def test_one_changed_weight_is_found(journal: Path, tape: Tape, tmp_path: Path) -> None:
    """A flipped bit of the network's last weight: loaded only when tolerated, and then compared."""
    path = tmp_path / "target" / "policy.onnx"
    data = bytearray(path.read_bytes())
    place = _inside_a_weight(bytes(data))
    data[place] ^= 0x40
    path.write_bytes(data)
    assert replay(journal, tmp_path / "target", tape).first_difference is not None
    result = replay(journal, tmp_path / "target", tape, tolerate_mismatch=True)
    assert not result.ok
    assert result.mismatches


def _inside_a_weight(data: bytes) -> int:
    import onnx

    weight = onnx.load_model_from_string(data).graph.initializer[0].raw_data
    return data.index(weight) + len(weight) - 1  # exponent bits of its last number


def test_a_bundle_for_another_desk_is_a_difference_not_a_crash(
    journal: Path, make_bundle: MakeBundle, tape: Tape
) -> None:
    result = replay(journal, make_bundle("grid", "grid"), tape)
    assert not result.ok
    assert result.first_difference is not None


def test_journals_that_cannot_be_replayed(journal: Path, tape: Tape, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(JournalError, match="cannot read"):
        replay(tmp_path / "nowhere", target, tape)
    with Journal(tmp_path / "other") as other:
        other.append("something", {})
    with pytest.raises(JournalError, match="does not begin with a run record"):
        replay(tmp_path / "other", target, tape)
    data = bytearray(journal.read_bytes())
    data[300] ^= 1
    journal.write_bytes(data)
    with pytest.raises(JournalCorruptError):
        replay(journal, target, tape)


def test_a_run_record_of_nonsense_is_a_difference(journal: Path, tape: Tape, tmp_path: Path) -> None:
    def change(kind: str, body: dict[str, Any]) -> None:
        if kind == "run":
            body["spec"] = json.dumps({"kind": "grid"})

    forge(journal, change)
    result = replay(journal, tmp_path / "target", tape)
    assert not result.ok
    assert result.first_difference is not None
    assert result.first_difference.decision == -1


def test_a_difference_reads_as_a_sentence() -> None:
    assert str(Difference(-1, "bundle", "a", "b")) == "before the first decision: bundle: journalled 'a', replayed 'b'"
