"""G1 passes what repeats itself, and fails what does not: in the desk, in the journal, or not running at all."""

from __future__ import annotations

import sys
from pathlib import Path

from lobgym.governance.g1 import gate_g1
from lobgym.governance.result import GateResult
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import MakeBundle

STEPS = 60

# A desk whose observations depend on the process: what an address, a clock or a set would do.
RESTLESS = """
import os, sys
from lobgym.runtime import engine
from lobgym.runtime.__main__ import main

class Restless(engine.Desk):
    def observe(self):
        observation = super().observe()
        observation[0, 0] *= 1.0 - (os.getpid() % 1000) / 1e5
        return observation

engine.Desk = Restless
sys.exit(main())
"""

# A runtime that journals another decision than the one that it took.
FORGING = """
import sys
from lobgym.runtime import journal
from lobgym.runtime.__main__ import main

append = journal.Journal.append

def forged(self, kind, body):
    if kind == "decision" and body["n"] == 33:
        body = {**body, "codes": [code ^ 1 for code in body["codes"]]}
    return append(self, kind, body)

journal.Journal.append = forged
sys.exit(main())
"""


def runner(folder: Path, source: str) -> tuple[str, str]:
    script = folder / "runner.py"
    script.write_text(source)
    return sys.executable, str(script)


def failed(result: GateResult) -> list[str]:
    return [check.name for check in result.failures]


def test_a_policy_that_repeats_itself_passes(make_bundle: MakeBundle, tape_file: Path) -> None:
    result = gate_g1(make_bundle("target"), tape_file, STEPS)
    assert result.passed, result.failures
    assert result.name == "G1"
    assert len(result.checks) == 7
    assert result.notes[0].startswith(f"{STEPS} decisions, decision hash ")


def test_a_desk_that_depends_on_its_process_fails(make_bundle: MakeBundle, tape: Tape, tmp_path: Path) -> None:
    result = gate_g1(make_bundle("target"), tape, STEPS, runner=runner(tmp_path, RESTLESS))
    assert "decision hashes of the two processes" in failed(result)
    replays = [check for check in result.failures if check.name.startswith("replay")]
    assert replays
    assert "decision 0: obs" in replays[0].actual


def test_a_journal_that_lies_fails_although_both_runs_agree(
    make_bundle: MakeBundle, tape_file: Path, tmp_path: Path
) -> None:
    result = gate_g1(make_bundle("target"), tape_file, STEPS, runner=runner(tmp_path, FORGING))
    assert failed(result) == [f"replay of journal {number} gives every record again" for number in (1, 2)]
    assert "decision 33: codes" in result.failures[0].actual


def test_a_runtime_that_does_not_finish_fails(make_bundle: MakeBundle, tape_file: Path, tmp_path: Path) -> None:
    folder = make_bundle("target")
    for source in ("import sys; sys.exit('no disk')", "import os; os._exit(0)"):
        result = gate_g1(folder, tape_file, STEPS, runner=runner(tmp_path, source))
        assert failed(result) == ["process 1 finishes its run", "process 2 finishes its run"]
    assert "FileNotFoundError" in gate_g1(folder, tape_file, STEPS, runner=["/no/such/program"]).failures[0].actual


def test_too_few_decisions_prove_nothing(make_bundle: MakeBundle, tape_file: Path) -> None:
    assert failed(gate_g1(make_bundle("target"), tape_file, 5)) == ["decisions"]


def test_a_bundle_or_tape_that_does_not_load_fails(make_bundle: MakeBundle, tape_file: Path, tmp_path: Path) -> None:
    folder = make_bundle("target")
    assert failed(gate_g1(folder, "nonsense", STEPS)) == ["bundle and tape load"]
    (folder / "policy.onnx").write_bytes(b"x")
    assert failed(gate_g1(folder, tape_file, STEPS)) == ["bundle and tape load"]
