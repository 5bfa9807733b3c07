"""G1, ReplayParity: does the policy decide the same, whoever runs it again?

Rules:
- two fresh processes, with different hash seeds, run the bundle on the tape; both finish, and their decision hashes
  (every observation, code, intent, order, fill and account) are equal, as are the heads of their journals;
- in a third process, this one, the replay of either journal gives every record again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from lobgym.governance.result import Check, GateResult, at_least, equal
from lobgym.runtime.replay import ReplayResult, replay
from lobgym.sim.errors import LobgymError
from lobgym.sim.tape import Tape, open_tape

__all__ = ["gate_g1"]

TITLE: Final = "ReplayParity"
STEPS: Final = 2000  # decisions of each run, or all that the tape holds
DECISIONS_MIN: Final = 10
TIMEOUT_S: Final = 600
RUNNER: Final = (sys.executable, "-m", "lobgym.runtime")
HASH_SEEDS: Final = ("0", "1")  # an order that depends on a set or on hash() shows


def gate_g1(
    bundle: str | os.PathLike[str],
    tape: Tape | str | os.PathLike[str],
    steps: int | None = STEPS,
    seed: int = 0,
    runner: Sequence[str] = RUNNER,
) -> GateResult:
    """Run the gate; what goes wrong in a run fails it.

    Args:
        bundle: the bundle's folder.
        tape: a tape or its name.
        steps: decisions a run; None for all, and never more than the tape holds.
        seed: of both runs.
        runner: the command that takes BUNDLE TAPE JOURNAL and prints a JSON line, as `python -m lobgym.runtime`.
    """
    with tempfile.TemporaryDirectory(prefix="lobgym-g1-") as name:
        folder = Path(name)
        try:
            opened = open_tape(tape)
            tape_file = _as_file(tape, opened, folder)
            given = _arguments(bundle, opened, steps, seed)
        except LobgymError as error:
            return GateResult.of("G1", TITLE, [Check("bundle and tape load", False, "both do", str(error))])
        runs: list[dict[str, Any]] = []
        checks: list[Check] = []
        for number, hash_seed in enumerate(HASH_SEEDS):
            command = [*runner, str(bundle), str(tape_file), str(folder / f"journal-{number}"), "--shadow", *given]
            done = _run(command, hash_seed)
            checks.append(
                Check(f"process {number + 1} finishes its run", isinstance(done, dict), "it does", _outcome(done))
            )
            if isinstance(done, dict):
                runs.append(done)
        if len(runs) == len(HASH_SEEDS):
            checks += _compare(runs)
            checks += [_replayed(folder / f"journal-{n}", bundle, tape_file, n) for n in range(len(runs))]
    notes = [f"{run['decisions']} decisions, decision hash {run['decision_hash']}" for run in runs[:1]]
    return GateResult.of("G1", TITLE, checks, notes)


def _as_file(tape: Tape | str | os.PathLike[str], opened: Tape, folder: Path) -> Path:
    """A file of the tape that another process can read; the given one where it is a file."""
    if not isinstance(tape, Tape) and Path(tape).is_file():
        return Path(tape)
    opened.save(folder / "tape.parquet")
    return folder / "tape.parquet"


def _arguments(bundle: str | os.PathLike[str], tape: Tape, steps: int | None, seed: int) -> list[str]:
    from lobgym.runtime.bundle import load_bundle
    from lobgym.sim.market import Market

    arguments = ["--seed", str(seed), "--sync", "none"]
    if steps is not None:
        spec = load_bundle(Path(bundle), allow_ungated=True).spec
        market = Market.compile(tape, spec.params.print_implied_depth)
        held = (market.end_ns - market.start_ns) // spec.interval_ns
        arguments += ["--steps", str(min(steps, held))]
    return arguments


def _run(command: list[str], hash_seed: str) -> dict[str, Any] | str:
    """The JSON line that the process prints, or what went wrong."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    try:
        line: dict[str, Any] = msgspec.json.decode(done.stdout.strip().splitlines()[-1])
        return line if done.returncode == 0 else f"exit status {done.returncode}"
    except (IndexError, msgspec.MsgspecError):
        said = done.stderr.strip().splitlines()
        return f"exit status {done.returncode}: {said[-1] if said else 'no output'}"


def _outcome(done: dict[str, Any] | str) -> str:
    return "it does" if isinstance(done, dict) else done


def _compare(runs: list[dict[str, Any]]) -> list[Check]:
    first, second = runs
    return [
        at_least("decisions", DECISIONS_MIN, int(first["decisions"])),
        equal("decision hashes of the two processes", first["decision_hash"], second["decision_hash"]),
        equal("journal heads of the two processes", first["journal_head"], second["journal_head"]),
    ]


def _replayed(journal: Path, bundle: str | os.PathLike[str], tape: Path, number: int) -> Check:
    name = f"replay of journal {number + 1} gives every record again"
    try:
        result = replay(journal, Path(bundle), tape)
    except LobgymError as error:
        return Check(name, False, "it does", str(error))
    repeated = result.ok and result.complete and not result.notes
    return Check(name, repeated, "it does", "it does" if repeated else _replay_outcome(result))


def _replay_outcome(result: ReplayResult) -> str:
    found = [*result.mismatches, *result.notes]
    if result.first_difference is not None:
        found.append(str(result.first_difference))
    if not result.complete:
        found.append("the journal has no footer")
    return "; ".join(found)
