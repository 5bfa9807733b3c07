"""The trial ledger: every trial once, whoever writes at the same time and whoever dies while writing."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from lobgym.agents.errors import TrialError
from lobgym.agents.trials import (
    LEDGER_FILE,
    LEDGER_VARIABLE,
    count_trials,
    ledger_of,
    read_trials,
    record_trial,
    sharpe_ratio,
)


@pytest.fixture(autouse=True)
def _no_named_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)


def test_a_trial_lies_beside_its_run_folder_and_comes_back(tmp_path: Path) -> None:
    made = record_trial(tmp_path / "run-1", "train", "tape", "grid", "weights", 1.25, sharpe=-0.5)
    assert ledger_of(tmp_path / "run-1") == tmp_path / LEDGER_FILE
    assert read_trials(tmp_path / LEDGER_FILE) == [made]
    assert (made.run, made.score, made.sharpe) == ("run-1", 1.25, -0.5)
    assert json.loads((tmp_path / LEDGER_FILE).read_text())["digest"] == "weights"


def test_the_variable_names_another_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / "deep" / "all.jsonl"))
    record_trial(tmp_path / "a" / "run", "train", "tape", "grid", "one")
    record_trial(tmp_path / "b" / "run", "train", "tape", "grid", "two")
    assert count_trials(tmp_path / "deep" / "all.jsonl") == 2
    assert not (tmp_path / "a").exists()


def test_a_repeated_trial_counts_once_and_takes_the_later_score(tmp_path: Path) -> None:
    for score, sharpe in ((None, None), (1.0, 0.5), (3.0, None), (None, 0.25), (None, None)):
        record_trial(tmp_path / "run", "checkpoint", "tape", "target", "same", score, sharpe=sharpe)
    record_trial(tmp_path / "run", "train", "tape", "target", "same")
    assert [(one.kind, one.score, one.sharpe) for one in read_trials(tmp_path / LEDGER_FILE)] == [
        ("checkpoint", 3.0, 0.25),
        ("train", None, None),
    ]


def test_trials_are_counted_by_tape(tmp_path: Path) -> None:
    for tape, digest in (("a", "1"), ("a", "2"), ("b", "1")):
        record_trial(tmp_path / "run", "train", tape, "grid", digest)
    assert [count_trials(tmp_path / LEDGER_FILE, tape) for tape in (None, "a", "b", "c")] == [3, 2, 1, 0]
    assert count_trials(tmp_path / "none.jsonl") == 0


def test_a_torn_line_counts_and_swallows_nothing(tmp_path: Path) -> None:
    record_trial(tmp_path / "run", "train", "a", "grid", "first")
    ledger = tmp_path / LEDGER_FILE
    with ledger.open("ab") as file:
        file.write(b'{"kind":"train","tape_dig')
    record_trial(tmp_path / "run", "train", "a", "grid", "second")
    assert [one.kind for one in read_trials(ledger)] == ["train", "torn", "train"]
    assert count_trials(ledger, "a") == 3
    with ledger.open("ab") as file:
        file.write(b'{"kind":"tune","tape_dig')
    assert count_trials(ledger, "a") == 4, "another torn line was another trial"


def test_processes_share_a_ledger(tmp_path: Path) -> None:
    script = (
        "import sys; from lobgym.agents.trials import record_trial\n"
        "for k in range(200): record_trial(sys.argv[1], 'train', 'tape', 'grid', sys.argv[2] + str(k))\n"
        "sys.exit('torch' in sys.modules)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run"), name], cwd=Path.cwd()) for name in "abc"
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    trials = read_trials(tmp_path / LEDGER_FILE)
    assert {one.digest for one in trials} == {name + str(k) for name in "abc" for k in range(200)}
    # A line that lies across two pages may be seen half written: then an empty line follows it, which counts nothing.
    assert len((tmp_path / LEDGER_FILE).read_text().split()) == 600


def test_what_no_ledger_can_hold_is_refused(tmp_path: Path) -> None:
    for words in (("", "t", "e", "d"), ("k", "t", "e", ""), ("k", "t" * 300, "e", "d")):
        with pytest.raises(TrialError, match="1 to 200 characters"):
            record_trial(tmp_path / "run", *words)
    with pytest.raises(TrialError, match="NaN"):
        record_trial(tmp_path / "run", "k", "t", "e", "d", float("nan"))
    assert record_trial(tmp_path / "run", "k", "t", "e", "d", float("-inf")).score is None


def test_the_ratio_is_mean_over_deviation_in_exact_arithmetic() -> None:
    """Oracle: the standard library's fractions."""
    draw = random.Random(7)
    for count in (3, 4, 50):
        returns = [draw.choice((1e-9, 1.0, 1e6)) * draw.gauss(0.2, 1.0) for _ in range(count)]
        ratio = sharpe_ratio(returns)
        assert ratio == pytest.approx(statistics.mean(returns) / statistics.stdev(returns), rel=1e-12)
        assert sharpe_ratio([-one for one in returns]) == -ratio  # type: ignore[operator]
    assert sharpe_ratio([1.0, 2.0, 6.0]) == 3.0 / math.sqrt(7.0)


@pytest.mark.parametrize("returns", [[], [1.0, 2.0], [3.0] * 5, [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_what_has_no_ratio_is_not_known(returns: list[float]) -> None:
    assert sharpe_ratio(returns) is None


def test_nothing_earned_and_nothing_risked_is_no_skill() -> None:
    assert sharpe_ratio([0.0] * 5) == 0.0
