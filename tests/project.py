"""Where the project stands and which files belong to it, for the tests of the house."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("sim", "envs", "agents", "runtime", "governance", "experiments")


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project, relative to its root: those that git tracks or would, symlinks left out."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [Path(name) for name in listing.split("\0") if name]
    else:  # an unpacked archive
        folders = (*ROOMS, "lobgym", "tests", "docs")
        paths = [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*")]
    return tuple(sorted(path for path in paths if (ROOT / path).is_file() and not (ROOT / path).is_symlink()))
