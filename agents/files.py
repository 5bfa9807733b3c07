"""Files of run folders: their names, JSON that is written aside and renamed, and hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from lobgym.agents.errors import RunFolderError

__all__ = ["read_json", "sha256_file", "write_bytes", "write_json"]

# In every run folder.
CONFIG_FILE: Final = "config.json"
SPEC_FILE: Final = "spec.json"
RECORD_FILE: Final = "run.json"
LOG_FOLDER: Final = "logs"
# What tells whose run it is: that of one model, or EarnHFT's.
MODEL_FILE: Final = "model.zip"
ROUTER_FILE: Final = "router.npz"


def sha256_file(path: Path) -> str:
    """Raises RunFolderError if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} is missing: not a finished run folder") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file aside and rename it."""
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(data)
    os.replace(aside, path)


def write_json(path: Path, data: Any) -> None:
    """Plain data as indented JSON, written aside and renamed."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Raises RunFolderError for what is missing or not JSON."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(f"{path} is missing: not a finished run folder") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} is not valid JSON: {error}") from error
