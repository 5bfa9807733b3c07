"""`lobgym gate`, `paper`, `replay`: judge a bundle, serve it, verify what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lobgym.experiments.cli.console import JsonFlag, TapeOption, console, notes, print_json, progress_bar, working

__all__ = ["add_to"]

BundleArgument = Annotated[Path, typer.Argument(help="Folder of a bundle, as `lobgym export` writes it.")]


def gate(bundle: BundleArgument, tape: TapeOption = "synth:volatile", as_json: JsonFlag = False) -> None:
    """Run the gates on a bundle: G0 DataTruth, G1 ReplayParity, G3 Robustness.

    Writes gates.json, gates.md and certificate.json into the bundle. Exit status 1 if a gate fails.
    """
    from lobgym.governance import run_gates

    with working("gates") as status:
        report = run_gates(bundle, tape, progress=lambda text: status.update(text))
    if as_json:
        print(report.to_json().decode().rstrip())
    else:
        for result in report.gates:
            console.print(f"{'[green]passed[/]' if result.passed else '[red]FAILED[/]'}  {result.name} {result.title}")
            for check in result.failures:
                console.print(f"        {check.name}: expected {check.expected}, got {check.actual}", highlight=False)
        console.print(f"report: {bundle / 'gates.md'}", highlight=False)
    if not report.passed:
        raise typer.Exit(1)


def paper(
    bundle: BundleArgument,
    tape: TapeOption = "synth:volatile",
    journal: Annotated[Path, typer.Option("--journal", help="Where the journal goes.")] = Path("paper.jsonl"),
    shadow: Annotated[bool, typer.Option("--shadow", help="Run a bundle without passed gates.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was interrupted.")] = False,
    start_ns: Annotated[int | None, typer.Option(help="When to begin, in ns; the tape's start by default.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many decisions; all that fit by default.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    sync: Annotated[
        str, typer.Option(help="When the journal is synced to disk: none, batch:N or always.")
    ] = "batch:256",
    as_json: JsonFlag = False,
) -> None:
    """Let a bundle trade a tape, every decision journalled before it is sent.

    Nothing real is traded: the venue is the simulator. A bundle without passed gates is refused unless --shadow says
    that this run is for looking only.
    """
    from lobgym.runtime import run_paper

    with progress_bar("decisions", as_json) as progress:
        result = run_paper(
            bundle, tape, journal, start_ns, steps, seed, resume=resume, allow_ungated=shadow, sync=sync,
            progress=progress,
        )  # fmt: skip
    data = {
        "decision_hash": result.decision_hash,
        "decisions": result.decisions,
        "pnl_units": result.pnl_units,
        "journal": str(journal),
        "journal_head": result.journal_head,
        "resumed_from": result.resumed_from,
        "complete": result.complete,
    }
    if as_json:
        print_json(data)
        return
    if result.torn_copy is not None:
        notes.print(f"an incomplete last record was set aside as {result.torn_copy}", highlight=False)
    for key, value in data.items():
        console.print(f"{key:>14}  {value}", highlight=False)
    console.print(f"verify with: lobgym replay {journal} --bundle {bundle} --tape '{tape}'", highlight=False)


def replay(
    journal: Annotated[Path, typer.Argument(help="Journal of a paper run.")],
    bundle: Annotated[Path, typer.Option("--bundle", help="The bundle that ran.")],
    tape: TapeOption = "synth:volatile",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Load a changed bundle too, to find the first decision that differs.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a journal's run again and compare every decision. Exit status 1 if any differs."""
    from lobgym.runtime import replay as replay_journal

    result = replay_journal(journal, bundle, tape, tolerate_mismatch=anyway)
    difference = None if result.first_difference is None else str(result.first_difference)
    if as_json:
        print_json(
            {
                "ok": result.ok,
                "decisions": result.decisions,
                "decision_hash": result.decision_hash,
                "journalled_hash": result.journalled_hash,
                "complete": result.complete,
                "mismatches": list(result.mismatches),
                "notes": list(result.notes),
                "first_difference": difference,
            }
        )
    else:
        for note in (*result.mismatches, *result.notes):
            console.print(f"[yellow]{note}[/]", highlight=False)
        if difference is not None:
            console.print(f"[red]first difference:[/] {difference}", highlight=False)
        console.print(f"decisions compared  {result.decisions}", highlight=False)
        console.print(f"journalled hash     {result.journalled_hash}", highlight=False)
        console.print(f"replayed hash       {result.decision_hash}", highlight=False)
        if not result.complete:
            console.print("[yellow]the journal has no footer: the run was interrupted, or its end was cut off[/]")
        console.print("[green]equal[/]" if result.ok else "[red]NOT EQUAL[/]")
    if not result.ok:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (gate, paper, replay):
        app.command()(command)
