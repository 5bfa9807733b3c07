"""Which source made a result."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["commit_of_source", "source_sha256"]

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


@cache
def source_sha256(*folders: str) -> str:
    """The sha256 over every module and settings file of these folders of the package: name and content, by name.

    What a study keeps holds for the source that made it; another one makes it anew.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yml"):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(_ROOT).as_posix()}:{content};".encode())
    return digest.hexdigest()
