"""`lobgym leaderboard`: one market, many markets, and `lobgym leaderboard submit`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from lobgym.experiments.cli.console import TAPE_HELP, JsonFlag, command_line, console, print_json, working

__all__ = ["app"]

COMPILING: Final = "compiling the market (the first time on a machine also the kernels: a minute)"
BOARD_FOLDER: Final = Path("runs/board")
SUITE_FOLDER: Final = Path("runs/suite")


class Backend(StrEnum):
    """Where cells are computed."""

    loky = "loky"
    ray = "ray"
    serial = "serial"


WorkersOption = Annotated[int, typer.Option(min=0, help="Processes; 0 for all cores, or all of a Ray cluster.")]
BackendOption = Annotated[
    Backend, typer.Option(help="loky: this machine. ray: the cluster that $RAY_ADDRESS names. serial: one by one.")
]

app = typer.Typer(
    invoke_without_command=True,
    help="Compare policies on the part of tapes that no training sees. The policies written by hand always take part.",
)


@app.callback()
def leaderboard(
    context: typer.Context,
    tape: Annotated[
        list[str] | None, typer.Option("--tape", help=f"{TAPE_HELP} Repeat it for several markets.")
    ] = None,
    suite: Annotated[bool, typer.Option("--suite", help="Eight generated markets, besides those given.")] = False,
    run: Annotated[
        list[Path] | None, typer.Option("--run", help="A run folder; repeat it for more. Runs alike are seeds of one.")
    ] = None,
    bundle: Annotated[list[Path] | None, typer.Option("--bundle", help="A bundle; repeat it for more.")] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="Only this one, as natr-grid@grid; repeatable. Many markets.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=5, help="Seeds that fix the episodes; intervals are over them.")] = 5,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes a seed.")] = 8,
    workers: WorkersOption = 0,
    backend: BackendOption = Backend.loky,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results. [default: runs/board, with --suite runs/suite]")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """One market, or with --suite or several tapes many: then killed and started again, it goes on where it was."""
    if context.invoked_subcommand is not None:
        return
    if suite or policy or len(tape or []) > 1:
        _suite(
            tape or [], suite, run or [], bundle or [], policy or [], seeds, episodes, workers, backend, out, as_json
        )
        return
    from lobgym.experiments.evaluation.leaderboard import leaderboard_json, render_table
    from lobgym.experiments.evaluation.study import Study
    from lobgym.experiments.source import commit_of_source

    with working(COMPILING) as status:
        study = Study.of(tape[0] if tape else "synth:volatile")
        board = study.leaderboard(
            study.entries(run or [], bundle or []),
            command_line(),
            commit_of_source(),
            seeds,
            episodes,
            progress=lambda text: status.update(text),
        )
    _, page = board.write(out or BOARD_FOLDER)
    if as_json:
        print_json(leaderboard_json(board))
        return
    console.print(render_table(board, console.width))
    console.print(f"page: {page}", highlight=False)


def _suite(
    tapes: list[str],
    whole: bool,
    runs: list[Path],
    bundles: list[Path],
    policies: list[str],
    seeds: int,
    episodes: int,
    workers: int,
    backend: Backend,
    out: Path | None,
    as_json: bool,
) -> None:
    from lobgym.experiments.source import commit_of_source
    from lobgym.experiments.suite.board import render_suite_table
    from lobgym.experiments.suite.plan import DEFAULT_TAPES, SuitePlan
    from lobgym.experiments.suite.run import Workers, run_suite

    chosen = (*DEFAULT_TAPES, *tapes) if whole or not tapes else tuple(tapes)
    root = out or SUITE_FOLDER
    with working("markets") as status:

        def tell(what: str, done: int, total: int) -> None:
            status.update(f"{what}: {done} of {total}")

        board = run_suite(
            SuitePlan(chosen, seeds, episodes),
            root,
            runs=runs,
            bundles=bundles,
            only=policies,
            command=command_line(),
            commit=commit_of_source(),
            workers=Workers(workers, backend.value, tell),
        )
    page = board.write(root)
    if as_json:
        print_json(board.data)
        return
    console.print(render_suite_table(board.data, console.width))
    console.print(f"page: {page}", highlight=False)


@app.command()
def submit(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    expect: Annotated[str | None, typer.Option(help="sha256 of its manifest.json, as its author states it.")] = None,
    claim: Annotated[
        Path | None, typer.Option(help="What an earlier submission wrote: the results have to be those.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of a suite.")] = SUITE_FOLDER,
    workers: WorkersOption = 0,
    backend: BackendOption = Backend.loky,
    as_json: JsonFlag = False,
) -> None:
    """Run somebody's bundle from its hash on the suite's markets, and put it on the board; a mismatch is refused."""
    import msgspec

    from lobgym.experiments.source import commit_of_source
    from lobgym.experiments.suite.run import Workers, board_again
    from lobgym.experiments.suite.submission import submit_bundle

    with working("bundle") as status:

        def tell(what: str, done: int, total: int) -> None:
            status.update(f"{what}: {done} of {total}")

        made = Workers(workers, backend.value, tell)
        found = submit_bundle(bundle, out, expect=expect, claim=claim, workers=made)
        page = board_again(out, commit_of_source(), made).write(out)
    if as_json:
        print_json(msgspec.to_builtins(found.claim) | {"file": str(found.file)})
        return
    for cell in found.claim.cells:
        console.print(f"{cell.market:>24}  {cell.score_bps:+.3f} bps  {cell.digest[:12]}", highlight=False)
    console.print(f"bundle {found.claim.bundle_sha256}", highlight=False)
    console.print(f"claim  {found.file}", highlight=False)
    console.print(f"page   {page}", highlight=False)
