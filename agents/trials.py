"""The trial ledger: whatever was tried and could have been chosen, one line each, written by what tries it.

A result that is the best of many is expected to look good though nothing works, so how many there were belongs to it
(`lobgym.experiments.evaluation.sharpe` reads it here). Training runs, tuning trials, checkpoints and submissions call
`record_trial`; nobody keeps count by hand. The ledger is `trials.jsonl` beside the run folders, or the file that
LOBGYM_TRIALS names. It is only ever appended to.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from lobgym.agents.errors import TrialError

__all__ = [
    "LEDGER_FILE",
    "LEDGER_VARIABLE",
    "Trial",
    "count_trials",
    "ledger_of",
    "read_trials",
    "record_trial",
    "sharpe_ratio",
]

LEDGER_FILE: Final = "trials.jsonl"
LEDGER_VARIABLE: Final = "LOBGYM_TRIALS"
TORN: Final = "torn"  # the kind of a line that a crash cut off: what it was is lost, that it was is not
_RETURNS_MIN: Final = 3  # as the deflated ratio wants of the returns that it judges
_WORD_MAX: Final = 200  # characters; a line stays far below what one write to a file puts down at once


@dataclass(frozen=True)
class Trial:
    """One thing that was tried.

    Attributes:
        kind: what sort of trial: `train`, `tune`, `checkpoint`, `submission`, ...
        tape_digest: of the tape that it was tried on.
        env: environment or desk kind.
        digest: what was tried, as a hash (weights, config). A second line of equal kind, tape, env and digest is the
            same trial, as when an interrupted run goes on.
        score: what it was compared by, in its own unit; None where it was not scored.
        sharpe: mean over standard deviation of its returns, per return, not annualised; None where it is not known.
        run: name of the run folder.
    """

    kind: str
    tape_digest: str
    env: str
    digest: str
    score: float | None = None
    sharpe: float | None = None
    run: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two lines the same trial."""
        return self.kind, self.tape_digest, self.env, self.digest


def ledger_of(folder_of_run: str | Path) -> Path:
    """The ledger that a run in this folder writes to: $LOBGYM_TRIALS, else `trials.jsonl` beside the folder."""
    named = os.environ.get(LEDGER_VARIABLE)
    return Path(named) if named else Path(folder_of_run).absolute().parent / LEDGER_FILE


def record_trial(
    folder_of_run: str | Path,
    kind: str,
    tape_digest: str,
    env: str,
    digest: str,
    score: float | None = None,
    *,
    sharpe: float | None = None,
) -> Trial:
    """Append one trial to the ledger of a run folder.

    The line goes down in one write to a file opened for appending, so that processes may share a ledger.

    Raises:
        TrialError: an empty or overlong word, a score that is NaN.
    """
    run = Path(folder_of_run).absolute().name
    for name, word in (("kind", kind), ("tape_digest", tape_digest), ("env", env), ("digest", digest)):
        if not isinstance(word, str) or not 0 < len(word) <= _WORD_MAX:
            raise TrialError(f"a trial's {name} must be a word of 1 to {_WORD_MAX} characters, got {word!r}")
    trial = Trial(kind, tape_digest, env, digest, _known(score, "score"), _known(sharpe, "sharpe"), run[:_WORD_MAX])
    path = ledger_of(folder_of_run)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = msgspec.json.encode(asdict(trial)) + b"\n"
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # the last writer died within its line: it must not swallow this one
        os.write(file, line)
    finally:
        os.close(file)
    return trial


def sharpe_ratio(returns: Sequence[float]) -> float | None:
    """Mean over standard deviation (with n - 1) of returns, not annualised: a `Trial`'s `sharpe`.

    The same as that of `lobgym.experiments.evaluation.sharpe.moments_of`: 0 where no return differs from 0. None where
    that has none: fewer than three returns, one that is not finite, or equal ones other than 0.
    """
    count = len(returns)
    if count < _RETURNS_MIN or not all(math.isfinite(value) for value in returns):
        return None
    mean = math.fsum(returns) / count
    squares = math.fsum((value - mean) ** 2 for value in returns)
    if squares == 0.0:
        return None if mean else 0.0
    return mean / math.sqrt(squares / (count - 1))


def read_trials(path: str | Path) -> list[Trial]:
    """Every distinct trial of a ledger, in the order of their first lines; no file is an empty ledger.

    Of several lines of one trial, the last known score and Sharpe ratio hold. A line that cannot be read was torn by a
    crash: it counts as a trial of kind "torn" of no known tape, because a count may err upwards only.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: dict[tuple[str, str, str, str], Trial] = {}
    for line in lines:
        if not line.strip():
            continue
        try:
            trial = msgspec.json.decode(line, type=Trial)
        except (msgspec.DecodeError, UnicodeDecodeError):
            trial = Trial(TORN, "", "", hashlib.sha256(line).hexdigest())
        before = found.get(trial.key)
        if before is not None:
            trial = Trial(
                *trial.key,
                score=before.score if trial.score is None else trial.score,
                sharpe=before.sharpe if trial.sharpe is None else trial.sharpe,
                run=before.run,
            )
        found[trial.key] = trial
    return list(found.values())


def count_trials(path: str | Path, tape_digest: str | None = None) -> int:
    """How many distinct trials a ledger has, or those on one tape together with those whose tape is not known."""
    trials = read_trials(path)
    return sum(tape_digest is None or trial.tape_digest in (tape_digest, "") for trial in trials)


def _known(value: float | None, name: str) -> float | None:
    """A number that JSON can hold: infinities, as of a diverged trial, are written as unknown."""
    if value is None:
        return None
    if math.isnan(value):
        raise TrialError(f"a trial's {name} is NaN: give None for what is not known")
    return float(value) if math.isfinite(value) else None
