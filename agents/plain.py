"""Configs as plain data: a field that nobody reads is refused."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from lobgym.agents.errors import TrainError

__all__ = ["refuse_unknown"]


def refuse_unknown(cls: type, data: Any, what: str, where: str = "") -> None:
    """Raise TrainError for fields, at any depth, that a dataclass does not have.

    msgspec ignores them; a setting that nobody reads is a mistake.
    """
    if not isinstance(data, dict):
        return
    known = {one.name for one in fields(cls)}
    unknown = sorted(str(name) for name in set(data) - known)
    if unknown:
        raise TrainError(
            f"unknown fields {', '.join(where + name for name in unknown)} in {what}: expected "
            f"{', '.join(sorted(known))}"
        )
    for name, hint in get_type_hints(cls).items():
        for kind in (hint, *get_args(hint)):
            if name in data and isinstance(kind, type) and is_dataclass(kind):
                refuse_unknown(kind, data[name], what, f"{where}{name}.")
