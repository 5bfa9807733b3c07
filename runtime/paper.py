"""The paper runtime: a gated policy trades a tape, every decision in the journal before it is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lobgym.runtime.bundle import LoadedBundle, load_bundle
from lobgym.runtime.engine import DECISION, OUTCOME, PaperRun, Record, plan_run
from lobgym.runtime.errors import ResumeError
from lobgym.runtime.journal import DEFAULT_SYNC, Journal, JournalRecord
from lobgym.runtime.totals import Totals
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape

__all__ = ["NOT_COMPARED", "RESUME", "PaperResult", "first_difference", "run_paper"]

RESUME: Final = "resume"  # a record that says where an interrupted run was taken up again
# What two runs of one identity may differ in: the margin is a float's evidence, and a policy may be gated meanwhile.
NOT_COMPARED: Final = frozenset({"margin", "mode"})


@dataclass(frozen=True)
class PaperResult:
    """What a paper run did. Money in money units; times in nanoseconds of wall time, one a decision.

    `decision_hash` covers every decision, intent, fill and account: equal hashes mean equal runs.
    """

    run: str
    decision_hash: str
    journal_head: str
    totals: Totals
    complete: bool  # all decisions that were planned were taken, or all that the tape held
    resumed_from: int  # records that stood in the journal when this run took it up; 0 for a new one
    torn_copy: Path | None  # where an incomplete last record was set aside
    decide_ns: tuple[int, ...]
    journal_ns: tuple[int, ...]

    @property
    def decisions(self) -> int:
        """Decisions taken."""
        return self.totals.decisions

    @property
    def pnl_units(self) -> int:
        """Change of equity, money units."""
        return self.totals.pnl


def run_paper(
    bundle: LoadedBundle | str | os.PathLike[str],
    tape: Tape | str | os.PathLike[str],
    journal_path: str | os.PathLike[str],
    start_ns: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    *,
    spec: DeskSpec | None = None,
    market: Market | None = None,
    resume: bool = False,
    allow_ungated: bool = False,
    sync: str = DEFAULT_SYNC,
    progress: Callable[[int, int], None] | None = None,
) -> PaperResult:
    """Run a policy on a tape and journal it.

    Args:
        bundle: loaded, or its folder (then `allow_ungated` says whether gates are needed).
        tape: a tape or its name.
        journal_path: a new file; with `resume` also one that an interrupted run of the same identity left.
        start_ns, steps, seed: from where, how many decisions, which seed; see `plan_run` for the defaults.
        spec: a desk other than the bundle's.
        market: the tape compiled already.
        resume: replay what the journal holds, verifying every record, and go on where it ends.
        sync: "none", "batch:N" or "always" (`lobgym.runtime.journal`).
        progress: called as progress(done, total) after every decision.

    Raises:
        BundleError, TapeError: what is to run cannot be loaded.
        JournalError: the journal cannot be used.
        ResumeError: it holds something else than the beginning of this run.
    """
    loaded = bundle if isinstance(bundle, LoadedBundle) else load_bundle(Path(bundle), allow_ungated)
    desk_spec = loaded.spec if spec is None else spec
    if market is None:
        market = Market.compile(open_tape(tape), desk_spec.params.print_implied_depth)
    run = PaperRun(loaded, market, plan_run(market, desk_spec, start_ns, steps, seed), desk_spec)
    with Journal(journal_path, sync) as journal:
        if journal.records and not resume:
            raise ResumeError(f"{journal_path} holds a run already; resume it, or give this run a journal of its own")
        journal_ns = _write(run, journal, progress)
        head, resumed_from, torn_copy = journal.head, len(journal.records), journal.torn_copy
    complete = run.finished
    decide_ns = tuple(run.timing.decide_ns)
    return PaperResult(
        run.header["run"], run.trace, head, run.totals, complete, resumed_from, torn_copy, decide_ns, tuple(journal_ns)
    )


def _write(run: PaperRun, journal: Journal, progress: Callable[[int, int], None] | None) -> list[int]:
    """Check the run against what the journal holds, then append the rest; wall time of each append."""
    past = [record for record in journal.records if record.kind != RESUME]
    stood, taken_up = len(past), not past
    spent = []
    for place, (kind, body) in enumerate(run.records()):
        if place < stood:
            _require_equal(past[place], (kind, body))
        else:
            if not taken_up:
                journal.append(RESUME, {"run": run.header["run"], "records": len(journal.records)})
                taken_up = True
            began = time.perf_counter_ns()
            journal.append(kind, body)
            spent.append(time.perf_counter_ns() - began)
        if kind == OUTCOME and progress is not None:
            progress(body["n"] + 1, run.plan.steps)
    return spent


def _require_equal(record: JournalRecord, made: Record) -> None:
    difference = first_difference(record, made)
    if difference is not None:
        field, journalled, now = difference
        where = f"decision {record.body['n']}" if record.kind in (DECISION, OUTCOME) else f"the {record.kind} record"
        raise ResumeError(
            f"the journal is not the beginning of this run: {where} has {field} {journalled!r}, this run has {now!r}; "
            "resume with the bundle, tape and arguments that it began with, or start a new journal"
        )


def first_difference(record: JournalRecord, made: Record) -> tuple[str, Any, Any] | None:
    """The first field in which a journalled record differs from one made now: (field, journalled, now)."""
    kind, body = made
    if record.kind != kind:
        return "kind", record.kind, kind
    for field in sorted(body.keys() | record.body.keys()):
        journalled, now = record.body.get(field), body.get(field)
        if journalled != now and field not in NOT_COMPARED:
            return field, journalled, now
    return None
