"""From a bundle that may not act to one that may, and everything that must not lead there."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lobgym.governance import GateReport, GateResult, run_gates
from lobgym.governance.result import Check, at_least, at_most, equal
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.errors import BundleError, GateError
from lobgym.runtime.paper import run_paper
from lobgym.sim.errors import TapeError
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import MakeBundle

STEPS = 200
FILES = ("gates.json", "gates.md", "certificate.json")


def test_a_bundle_passes_and_may_act(make_bundle: MakeBundle, tape_file: Path, tape: Tape, tmp_path: Path) -> None:
    folder = make_bundle("grid")
    with pytest.raises(GateError, match="no gates have run"):
        load_bundle(folder)
    begun: list[str] = []
    report = run_gates(folder, tape_file, steps=STEPS, progress=begun.append)
    assert report.passed, [gate.failures for gate in report.gates]
    assert begun == ["G0", "G1", "G3"] == [gate.name for gate in report.gates]
    assert load_bundle(folder).gated
    assert run_paper(folder, tape, tmp_path / "j", steps=5).complete

    data = (folder / "gates.json").read_bytes()
    assert GateReport.from_json(data) == report
    assert b"." not in msgspec.json.encode([check.expected for gate in report.gates for check in gate.checks])
    text = (folder / "gates.md").read_text()
    assert text.startswith("# policy: gates passed")
    assert "## G1 ReplayParity: passed" in text
    assert sorted(file.name for file in folder.iterdir()) == sorted([*FILES, "manifest.json", "policy.onnx"])

    before = {name: (folder / name).read_bytes() for name in FILES}
    run_gates(folder, tape_file, steps=STEPS)
    assert {name: (folder / name).read_bytes() for name in FILES} == before, "equal inputs give equal bytes"


def test_a_bundle_that_fails_may_not_act(make_bundle: MakeBundle, tape_file: Path) -> None:
    folder = make_bundle("target")
    report = run_gates(folder, tape_file, steps=None)
    assert [gate.passed for gate in report.gates] == [True, True, False]
    assert json.loads((folder / "certificate.json").read_bytes())["passed"] is False
    with pytest.raises(GateError, match="did not pass"):
        load_bundle(folder)
    assert "**failed**" in (folder / "gates.md").read_text()


def test_a_bad_tape_certifies_nothing(make_bundle: MakeBundle, tape: Tape) -> None:
    folder = make_bundle("grid")
    report = run_gates(folder, Tape(tape.events, tape.instrument, {}), steps=50)
    assert [gate.passed for gate in report.gates] == [False, True, True]
    with pytest.raises(GateError):
        load_bundle(folder)


def test_a_report_elsewhere_leaves_the_bundle_ungated(make_bundle: MakeBundle, tape_file: Path, tmp_path: Path) -> None:
    folder = make_bundle("grid")
    assert run_gates(folder, tape_file, tmp_path / "reports" / "one", steps=50).passed
    assert sorted(file.name for file in (tmp_path / "reports" / "one").iterdir()) == sorted(FILES)
    with pytest.raises(GateError, match="no gates have run"):
        load_bundle(folder)


def test_what_cannot_be_judged_raises_and_writes_nothing(make_bundle: MakeBundle, tape_file: Path) -> None:
    folder = make_bundle("grid")
    with pytest.raises(TapeError):
        run_gates(folder, "nonsense")
    (folder / "policy.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="was changed"):
        run_gates(folder, tape_file)
    assert not any((folder / name).exists() for name in FILES)


def test_a_gate_without_checks_does_not_pass() -> None:
    assert not GateResult.of("G9", "Nothing", []).passed
    assert GateResult.of("G9", "Something", [equal("a", 1, 1)]).passed
    result = GateResult.of("G9", "Something", [equal("a", 1, 1), at_most("b", 2, 3, "lots")])
    assert not result.passed
    assert result.failures == (Check("b", False, "at most 2 lots", "3 lots"),)
    assert not at_least("c", 2, 1).passed


def test_a_result_is_plain_data() -> None:
    result = GateResult.of("G9", "Title", [equal("a", "x", "y")], ["note"])
    assert result.to_json() == {
        "name": "G9",
        "title": "Title",
        "passed": False,
        "checks": [{"name": "a", "passed": False, "expected": "x", "actual": "y"}],
        "notes": ["note"],
    }
