"""What all commands share on the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status

__all__ = [
    "COMPILING",
    "TAPE_HELP",
    "JsonFlag",
    "TapeOption",
    "command_line",
    "console",
    "fail",
    "notes",
    "print_json",
    "progress_bar",
    "stage_bars",
    "tell_generation",
    "working",
]

console = Console()
notes = Console(stderr=True)

COMPILING: Final = "compiling the market (the first time on a machine also the kernels: a minute)"
TAPE_HELP = "A .parquet tape, or a generated one by name, as `synth:calm?seed=3&minutes=20`."

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
TapeOption = Annotated[
    str,
    typer.Option("--tape", help=f"{TAPE_HELP} `lobgym tape scenarios` lists them."),
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


@contextmanager
def stage_bars(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for each stage of a long run, fed with (stage, done, total); silent as `progress_bar` is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True, disable=quiet or not notes.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=None)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


_QUIET_NS = 2_000_000_000  # what takes no longer is not worth a line


def tell_generation() -> Callable[[str, int, int], None]:
    """A report of generated tapes: a line on stderr every few seconds; silent where stderr is no terminal."""
    said_ns = 0

    def report(name: str, done: int, total: int) -> None:
        nonlocal said_ns
        now = time.perf_counter_ns()
        if done == 1:
            said_ns = now
        if notes.is_terminal and done < total and now - said_ns > _QUIET_NS:
            said_ns = now
            notes.print(f"generating {name}: {100 * done // total}%", highlight=False)

    return report


def command_line() -> str:
    """This command as it was typed, for the record."""
    return shlex.join(["lobgym", *sys.argv[1:]])
