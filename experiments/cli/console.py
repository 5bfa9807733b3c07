"""What all commands share on the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status

__all__ = ["JsonFlag", "TapeOption", "console", "fail", "notes", "print_json", "progress_bar", "working"]

console = Console()
notes = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
TapeOption = Annotated[
    str, typer.Option("--tape", help="A .parquet tape, or `synth`, `synth?seed=3&minutes=20` for a generated one.")
]


def fail(message: str, status: int = 1) -> NoReturn:
    """One line on stderr, then exit."""
    line = " ".join(message.split())
    print(f"lobgym: {line}", file=sys.stderr)
    sys.exit(status)


def print_json(data: Any) -> None:
    """One JSON document on stdout, keys sorted, nothing that is not JSON."""
    print(json.dumps(data, sort_keys=True, allow_nan=False, default=str))


def working(what: str) -> Status:
    """A spinner on stderr while something takes a while; silent where stderr is no terminal."""
    return notes.status(what, spinner="line")


@contextmanager
def progress_bar(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that is fed with (done, total); silent where stderr is no terminal or `quiet`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notes, transient=True, disable=quiet or not notes.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
