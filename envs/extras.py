"""Packages that only some uses of an environment need, imported when they are, with a remedy where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium.error

from lobgym.envs.errors import EnvError

__all__ = ["ExtraMissingError", "need"]


class ExtraMissingError(EnvError, gymnasium.error.DependencyNotInstalled, ModuleNotFoundError):
    """A package that is installed with one of the project's extras is not there."""


def need(module: str, extra: str) -> Any:
    """The module `module`. Raises ExtraMissingError, which names the extra, where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ExtraMissingError(
            f"this needs {error.name or package}: pip install 'lobgym[{extra}]'", name=package
        ) from error
