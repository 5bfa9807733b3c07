"""The command tree, and what happens to an error."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

import lobgym
from lobgym.experiments.cli import baselines, earnhft, leaderboard, logs, market, offline, service, studies, tapes
from lobgym.experiments.cli.console import fail, tell_generation
from lobgym.experiments.cli.research import add_to as add_research
from lobgym.sim.errors import LobgymError

__all__ = ["app", "main"]

# Extras are optional: a command that lacks one says which, instead of a traceback.
_EXTRA_OF = {
    "torch": "train",
    "stable_baselines3": "train",
    "tensorboard": "train",
    "optuna": "train",
    "joblib": "train",
    "scipy": "train",
    "yaml": "train",
    "sb3_contrib": "train",
    "ray": "ray",
    "onnx": "runtime",
    "onnxruntime": "runtime",
    "minari": "offline",
    "h5py": "offline",
}

INTERRUPTED = 130

app = typer.Typer(
    name="lobgym",
    help=(
        "Train trading agents on limit order books that they cannot cheat, and serve only what passes its gates.\n\n"
        "Begin with `lobgym demo`. The usual way: `tape import` a recording, `train` on it, `export` the policy as a "
        "bundle, `gate` it, run it with `paper`, verify the run with `replay`, and compare policies on a `leaderboard`."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(tapes.app, name="tape")
app.add_typer(logs.app, name="log")
app.add_typer(market.app, name="market")
app.add_typer(leaderboard.app, name="leaderboard")
add_research(app)
earnhft.add_to(app)
baselines.add_to(app)
service.add_to(app)
offline.add_to(app)
studies.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lobgym {lobgym.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    from lobgym.sim.progress import report_progress

    report_progress(tell_generation())


def _stopped() -> NoReturn:
    fail(
        "stopped; what was finished by then is complete, and an interrupted paper run goes on with --resume",
        INTERRUPTED,
    )


def main() -> None:
    """Entry point: run a command; an expected error is one line on stderr and exit status 1, Ctrl-C is 130."""
    try:
        app()
    except LobgymError as error:
        fail(str(error))
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as end:  # typer makes this of a KeyboardInterrupt, without a word
        if end.code == INTERRUPTED:
            _stopped()
        raise
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF:
            raise
        fail(f"this command needs {package}: pip install 'lobgym[{_EXTRA_OF[package]}]'")
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
