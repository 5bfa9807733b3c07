"""Replay: does the journal of a run come out again, decision for decision?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lobgym.runtime.bundle import LoadedBundle, load_bundle
from lobgym.runtime.engine import DECISION, FOOTER, OUTCOME, RUN, PaperRun, plan_run
from lobgym.runtime.errors import BundleError, JournalError
from lobgym.runtime.journal import JournalRecord, read_journal
from lobgym.runtime.paper import NOT_COMPARED, RESUME, first_difference
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LobgymError
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape

__all__ = ["Difference", "ReplayResult", "replay"]

# Fields of the run record that name what was run. A difference there is a mismatch of inputs, told before and apart
# from the first decision that differs. The run's id follows from them.
_INPUTS = {
    "policy_sha256": "the bundle's policy",
    "manifest_sha256": "the bundle's manifest",
    "tape_digest": "the tape",
}
_SOURCE = "sim_source_sha256"
_FOLLOWS = frozenset({"run", "session", "id", "policy_name", _SOURCE, *_INPUTS, *NOT_COMPARED})


@dataclass(frozen=True)
class Difference:
    """Where a replay first differs: decision number (-1: before the first one), field, and both values."""

    decision: int
    field: str
    journalled: Any
    replayed: Any

    def __str__(self) -> str:
        where = f"decision {self.decision}" if self.decision >= 0 else "before the first decision"
        return f"{where}: {self.field}: journalled {self.journalled!r}, replayed {self.replayed!r}"


@dataclass(frozen=True)
class ReplayResult:
    """The outcome of a replay.

    Attributes:
        ok: policy and tape are those of the run record, and every record came out again.
        decisions: how many decisions were compared.
        first_difference: the first record that differs, or None.
        mismatches: inputs that are not those of the run record, as sentences.
        notes: what is different and need not be: another version of the simulator's source.
        complete: the journal has its footer; without one, the run was interrupted or its end was cut off.
        decision_hash: of the replay. Equal to `journalled_hash` if all is equal.
    """

    ok: bool
    decisions: int
    first_difference: Difference | None
    mismatches: tuple[str, ...]
    complete: bool
    decision_hash: str
    journalled_hash: str
    notes: tuple[str, ...] = ()


def replay(
    journal_path: str | os.PathLike[str],
    bundle: LoadedBundle | str | os.PathLike[str],
    tape: Tape | str | os.PathLike[str],
    tolerate_mismatch: bool = False,
) -> ReplayResult:
    """Run a journal's run again in this process and compare every record.

    A bundle or tape with other digests than the run record's is reported in `mismatches`, and the replay goes on, to
    name the first decision that differs. A bundle that does not load is itself the difference; with
    `tolerate_mismatch` one whose hashes or golden vectors do not fit is loaded all the same, for this comparison only.

    Raises:
        JournalError: the journal cannot be read, is corrupt, or does not begin with a run record.
        TapeError: the tape cannot be loaded.
    """
    records = [record for record in read_journal(journal_path).records if record.kind != RESUME]
    if not records or records[0].kind != RUN:
        raise JournalError(f"{journal_path} does not begin with a run record; is it the journal of a paper run?")
    header, opened = records[0].body, open_tape(tape)
    complete = records[-1].kind == FOOTER
    stated = _stated_trace(records)
    try:
        run = _run_again(header, bundle, opened, tolerate_mismatch)
    except LobgymError as error:
        field = "bundle" if isinstance(error, BundleError) else "run"
        difference = Difference(-1, field, "loaded and run", f"{type(error).__name__}: {error}")
        return ReplayResult(False, 0, difference, (), complete, "", stated)
    mismatches = tuple(
        f"{what} is not the one of the run: {field} was {header.get(field)}, is {run.header[field]}"
        for field, what in _INPUTS.items()
        if header.get(field) != run.header[field]
    ) + tuple(run.bundle.problems)
    found = _compare(records, run)
    ok = found is None and not mismatches
    notes = (
        () if header.get(_SOURCE) == run.header[_SOURCE] else ("the run was made by another version of the simulator",)
    )
    return ReplayResult(ok, run.totals.decisions, found, mismatches, complete, run.trace, stated, notes)


def _run_again(
    header: dict[str, Any], bundle: LoadedBundle | str | os.PathLike[str], tape: Tape, tolerate_mismatch: bool
) -> PaperRun:
    loaded = bundle
    if not isinstance(loaded, LoadedBundle):
        loaded = load_bundle(Path(loaded), allow_ungated=True, tolerate_mismatch=tolerate_mismatch)
    try:
        spec = DeskSpec.from_json(msgspec.json.decode(header["spec"]))
        start_ns, steps, seed = int(header["start_ns"]), int(header["steps"]), int(header["seed"])
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise JournalError(f"the run record is not one of this version: {error!r}") from error
    market = Market.compile(tape, spec.params.print_implied_depth)
    return PaperRun(loaded, market, plan_run(market, spec, start_ns, steps, seed), spec)


def _compare(records: list[JournalRecord], run: PaperRun) -> Difference | None:
    """The first record of the journal that the run does not make again. What the journal lacks at its end is none."""
    made_now = run.records()
    for record in records:
        number = record.body.get("n", -1) if record.kind in (DECISION, OUTCOME) else -1
        try:
            made = next(made_now, None)
        except LobgymError as error:
            return Difference(number, "error", "none", f"{type(error).__name__}: {error}")
        if made is None:
            return Difference(number, "kind", record.kind, "nothing")
        difference = _first_field(record, made)
        if difference is not None:
            return Difference(number if record.kind != FOOTER else run.totals.decisions, *difference)
    return None


def _first_field(record: JournalRecord, made: tuple[str, dict[str, Any]]) -> tuple[str, Any, Any] | None:
    kind, body = made
    own = msgspec.structs.replace(record, body=_without_ids(record.body))
    return first_difference(own, (kind, _without_ids(body)))


def _without_ids(body: dict[str, Any]) -> dict[str, Any]:
    """A record's body without what merely follows from the inputs' digests: ids."""
    kept = {key: value for key, value in body.items() if key not in _FOLLOWS}
    if "intents" in kept:
        kept["intents"] = [{k: v for k, v in intent.items() if k != "id"} for intent in kept["intents"]]
    return kept


def _stated_trace(records: list[JournalRecord]) -> str:
    """The newest trace hash that the journal states; "" before the first outcome."""
    for record in reversed(records):
        if record.kind in (OUTCOME, FOOTER):
            return str(record.body.get("trace", ""))
    return ""
