"""Files that readers may open at any moment."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_text"]


def write_text(path: str | Path, text: str) -> None:
    """Write a file aside, then rename it: a reader sees the old one or the new one, never half of one."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(target.name + ".part")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
