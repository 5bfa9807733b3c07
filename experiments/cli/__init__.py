"""The `lobgym` command. Each module holds a group of commands; `main` turns errors into one clear line."""

from lobgym.experiments.cli.app import app, main

__all__ = ["app", "main"]
