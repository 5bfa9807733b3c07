"""What the commands of `lobgym study` share: their common options, stated once, and what becomes of a result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from lobgym.experiments.cli.console import JsonFlag, command_line, console, print_json, progress_bar

__all__ = ["StudyRun", "study_command"]


@dataclass(frozen=True)
class StudyRun:
    """The options that studies have in common."""

    seeds: Annotated[int, typer.Option("--seeds", min=2, help="Seeds.")] = 10
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes a seed.")] = 8
    out: Annotated[Path, typer.Option("--out", help="Folder of finished cells, result.json and result.md.")] = Path()
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes; 0 for all cores.")] = 0
    backend: Annotated[str, typer.Option("--backend", help="loky, ray or serial.")] = "loky"
    as_json: JsonFlag = False

    @property
    def cells(self) -> Path:
        """The folder of finished cells."""
        return self.out / "cells"

    @contextmanager
    def jobs(self, label: str = "cells") -> Iterator[dict[str, Any]]:
        """How cells are computed, as keywords of `lobgym.agents.jobs.run_jobs`; a bar shows how far they are."""
        with progress_bar(label, self.as_json) as progress:
            yield {"progress": progress, "workers": self.workers, "backend": self.backend}

    def write(self, name: str, result: dict[str, Any], lines: list[str]) -> None:
        """Keep a study's result, and show it."""
        self.keep(name, result, lines)
        if self.as_json:
            print_json(result)
        else:
            self.tell(name, lines)

    def keep(self, name: str, result: dict[str, Any], lines: list[str]) -> None:
        """NAME.json and NAME.md, each aside and then renamed."""
        import msgspec

        from lobgym.experiments.files import write_text
        from lobgym.experiments.source import commit_of_source

        data = {"command": command_line(), "commit": commit_of_source(), **result}
        write_text(self.out / f"{name}.json", msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
        write_text(self.out / f"{name}.md", "\n".join(lines) + "\n")

    def tell(self, name: str, lines: list[str]) -> None:
        """A result for readers, and where it lies."""
        typer.echo("\n".join(lines))
        console.print(f"wrote {self.out / name}.json and .md", highlight=False)


def study_command(
    app: typer.Typer, name: str, *without: str, **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command whose argument `study` is a `StudyRun`: its fields are options of the command.

    Args:
        app: the group.
        name: of the command.
        without: fields that are no options of this command.
        defaults: of fields, where they differ from `StudyRun`'s; the folder is `runs/<name>` unless given.
    """
    own = {"out": Path("runs") / name} | defaults
    signature = inspect.signature(StudyRun, eval_str=True)
    shared = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=own.get(one.name, one.default))
        for one in signature.parameters.values()
        if one.name not in without
    ]
    names = {one.name for one in fields(StudyRun)}

    def register(function: Callable[..., None]) -> Callable[..., None]:
        theirs = inspect.signature(function, eval_str=True)

        @wraps(function)
        def command(**given: Any) -> None:
            options = {word: given.pop(word) for word in names & set(given)}
            function(study=StudyRun(**options), **given)

        kept = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for one in theirs.parameters.values()
            if one.name != "study"
        ]  # fmt: skip
        command.__signature__ = theirs.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
        return app.command(name)(command)

    return register
