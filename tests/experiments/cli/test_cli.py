"""Goal: the command line teaches, prints JSON where asked, and answers wrong input of every kind with one clear line.

Method: the installed entry point in processes of its own, as a user meets it.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lobgym.experiments.cli import app, main, tapes
from lobgym.sim.scenarios import SCENARIOS
from lobgym.sim.tape import Tape, open_tape

TAPE = "synth?seed=1&minutes=1"


def lobgym(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from lobgym.experiments.cli import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


FORMATS = ("binance", "bitstamp", "hftbacktest", "lobster", "tardis")
GROUPS = (
    "",
    "tape",
    "tape import",
    *(f"tape import {one}" for one in FORMATS),
    "tape inspect",
    "tape make",
    "tape export",
    "log",
    "log show",
    "market",
    "market compare",
    "market known",
)
COMMANDS = (
    "train", "tune", "evaluate", "earnhft", "baseline list", "study agents", "study sweep", "study splits", "export",
    "gate", "paper", "replay", "leaderboard", "leaderboard submit", "bench", "demo",
)  # fmt: skip


@pytest.mark.parametrize("words", [*GROUPS, *COMMANDS])
def test_help_teaches(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def _wrong_inputs(folder: Path) -> list[tuple[list[str], str]]:
    foreign = folder / "foreign.txt"
    foreign.write_text("hello\n")
    truncated = folder / "truncated.gz"
    truncated.write_bytes(gzip.compress(b"1723161255030314667 {}\n" * 50)[:40])
    unknown = folder / "unknown.txt"
    line = {"stream": "foo@bookTicker", "data": {"u": 1, "s": "FOO", "b": "1.0", "B": "1", "a": "1.1", "A": "1"}}
    unknown.write_text("1723161255030314667 " + json.dumps(line) + "\n")
    not_a_tape = folder / "not.parquet"
    not_a_tape.write_bytes(b"PAR0")
    out = str(folder / "out.parquet")
    journal = folder / "journal.jsonl"
    journal.write_text('{"seq":0}\n')
    return [
        (["tape", "import", "binance", str(foreign), "--out", out], "foreign.txt:1"),
        (["tape", "import", "binance", str(truncated), "--out", out], "truncated.gz"),
        (["tape", "import", "binance", str(unknown), "--out", out], "FOO"),
        (["tape", "import", "binance", str(folder / "missing.gz"), "--out", out], "missing.gz"),
        (["tape", "inspect", str(not_a_tape)], "not.parquet"),
        (["tape", "inspect", "synth?seeds=3"], "seeds"),
        (["tape", "inspect", "synth:clam"], "synth:calm"),
        (["tape", "inspect", "synth:halt?second=3"], "auction_s (number from 1 to 600; default 15)"),
        (["tape", "make", "synth?minutes=0.1", "--out", str(folder / "no" / "such" / "t.parquet")], "t.parquet"),
        (["market", "compare", TAPE, str(folder / "missing.parquet")], "missing.parquet"),
        (["market", "known", "everything"], "martingale"),
        (["market", "compare", "synth?minutes=0.1", TAPE], "synth?minutes=0.1"),
        (["train", "--tape", "nothing", "--out", str(folder / "run")], "nothing"),
        (["train", "--algo", "dqn", "--env", "grid", "--tape", "synth?minutes=10", "--out", str(folder / "r")], "dqn"),
        (["train", "--tape", TAPE, "--out", str(folder / "run")], "too short"),
        (["earnhft", "--tape", TAPE, "--out", str(folder / "run")], "embargo"),
        (["earnhft", "--set", "low.samplez=3"], "low.samplez"),
        (["earnhft", "--without", "nothing"], "store_terminal"),
        (["study", "agents", "everything"], "corrections"),
        (
            ["study", "sweep", "--policy", "nobody@grid", "--tape", "synth?minutes=10", "--out", str(folder / "s")],
            "nobody",
        ),
        (["export", str(folder), "--out", str(folder / "bundle")], "config.json"),
        (["gate", str(folder / "nowhere")], "nowhere"),
        (["paper", str(folder / "nowhere"), "--journal", str(folder / "j.jsonl")], "nowhere"),
        (["replay", str(journal), "--bundle", str(folder)], "journal.jsonl"),
        (["bench", "nothing"], "step"),
        (["bench", "step", "--case", "nothing"], "lanes64"),
    ]


def test_wrong_input_is_one_clear_line(tmp_path: Path) -> None:
    for words, named in _wrong_inputs(tmp_path):
        before = sorted(path.name for path in tmp_path.iterdir())
        result = lobgym(*words)
        assert result.returncode == 1, (words, result.stderr)
        errors = result.stderr.splitlines()
        assert len(errors) == 1, (words, result.stderr)
        assert errors[0].startswith("lobgym: "), (words, errors)
        assert named in errors[0], (words, errors)
        assert sorted(path.name for path in tmp_path.iterdir()) == before, f"{words} left something behind"


def test_inspect_prints_json_with_a_digest() -> None:
    result = lobgym("tape", "inspect", TAPE, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["digest"] == open_tape(TAPE).digest


def test_scenarios_are_listed_one_a_line() -> None:
    listed = lobgym("tape", "scenarios")
    assert listed.returncode == 0, listed.stderr
    *lines, last = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"synth:{name}" for name in SCENARIOS]
    assert "recovery=0.6" in next(line for line in lines if line.startswith("synth:flash-crash "))
    assert "seed=0" in last
    made = json.loads(lobgym("tape", "scenarios", "--json").stdout)["scenarios"]
    assert [one["name"] for one in made] == [f"synth:{name}" for name in SCENARIOS]
    assert {
        "name": "seconds",
        "kind": "number",
        "default": 30.0,
        "low": 0.1,
        "high": 3600.0,
        "about": "silence",
    } in next(one["parameters"] for one in made if one["name"] == "synth:outage")


def test_scenarios_are_compared_by_name() -> None:
    result = lobgym("market", "compare", "synth:calm?minutes=0.5", "synth:volatile?minutes=0.5", "--json")
    assert result.returncode == 0, result.stderr
    one = json.loads(result.stdout)["measures"]["volatility_1s_bps"]
    assert one["b"] > one["a"]


def test_make_writes_what_inspect_reads(tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    assert lobgym("tape", "make", TAPE, "--out", str(path)).returncode == 0
    assert Tape.load(path).digest == open_tape(TAPE).digest
    assert [one.name for one in tmp_path.iterdir()] == ["tape.parquet"]


def test_an_interrupt_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(name: str) -> Tape:
        raise KeyboardInterrupt

    monkeypatch.setattr(tapes, "open_tape", interrupted)
    monkeypatch.setattr(sys, "argv", ["lobgym", "tape", "inspect", TAPE])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("lobgym: stopped")


def test_bench_says_what_it_skips(tmp_path: Path) -> None:
    result = lobgym("bench", "step", "--case", "lanes64", "--json", env={"LOBGYM_RECORDINGS": str(tmp_path)})
    row = json.loads(result.stdout)
    assert row["bench"] == "step"
    assert row["case"] == "lanes64"
    assert "LOBGYM_RECORDINGS" in row["skipped"]
    assert "value" not in row


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text("import sys\nsys.modules['torch'] = None\nsys.modules['stable_baselines3'] = None\n")
    result = lobgym("train", "--tape", "synth?minutes=10", env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert result.returncode == 1
    assert "lobgym[train]" in result.stderr
    assert "Traceback" not in result.stderr
