"""Which source made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

__all__ = ["commit_of_source"]

_ROOT: Final = Path(__file__).resolve().parents[1]


def commit_of_source() -> str:
    """Short commit of the checkout that this package runs from, `-dirty` if it was changed; "" if it is no checkout."""
    if not (_ROOT / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()
