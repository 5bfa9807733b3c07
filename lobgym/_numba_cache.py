"""Where compiled kernels are kept, so that none outlives the sources it was made of.

numba's on-disk cache looks at the file of the function it loads, and at nothing else. A kernel that calls a function of
another file, or reads a constant of another module, keeps its old machine code when only that other file changes:
results then depend on what the disk happened to remember. Therefore the cache folder itself is named by a fingerprint
of every source that can end up inside a kernel; after a change numba finds an empty folder and compiles anew.

    <user cache>/lobgym/numba/<fingerprint>      by default
    <folder>/<fingerprint>                       where NUMBA_CACHE_DIR=<folder> was given

What belongs into the fingerprint: each module that names njit, and, transitively, each module of the package that one
of them imports, for a constant is burnt into a kernel too (absolute imports only, as everywhere in lobgym). The
versions of numba and Python and the processor are left out: numba checks those itself. It does not check the few
settings of `COMPILE_SETTINGS`, so they are in.

`install` runs in `lobgym/__init__.py`, before anything can import numba. Where numba came first nothing is lost: it is
told of the new folder, and no lobgym kernel has been declared yet. Functions of the user that are declared after that
with `cache=True` are kept in the same folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["fingerprint", "install", "prune", "source_digest", "user_cache_dir"]

VARIABLE = "NUMBA_CACHE_DIR"
MARKER = ".lobgym-kernels"  # says that a folder is ours to prune; its mtime is the folder's last use
FOLDERS_KEPT = 4
DAYS_KEPT = 7
COMPILE_SETTINGS = ("NUMBA_BOUNDSCHECK", "NUMBA_OPT", "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE")

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


def fingerprint(root: Path) -> str:
    """Digest of all sources below the package folder `root` that a compiled kernel may contain.

    Modules are read in sorted order by their path relative to `root`, so that neither the place of an installation nor
    the order of a directory listing matters. Returns 64 hexadecimal digits.
    """
    sources = _sources_below(root)
    digest = hashlib.sha256()
    for name in COMPILE_SETTINGS:
        digest.update(f"{name}={os.environ.get(name, '')}\n".encode())
    _add(digest, sources, _reachable(root.name, sources))
    return digest.hexdigest()


def source_digest(root: Path, starts: Sequence[str]) -> str:
    """Digest of the modules `starts` (paths relative to `root`) and of all that they import from the package there.

    Returns 64 hexadecimal digits.
    """
    sources = _sources_below(root)
    digest = hashlib.sha256()
    _add(digest, sources, _reachable(root.name, sources, starts))
    return digest.hexdigest()


def install(root: Path) -> Path:
    """Point numba at the folder that belongs to the present sources of the package at `root`; return that folder.

    The folder is exported in the environment, so child processes share it. A child that inherits the already extended
    path replaces its last part instead of extending it again. Where the folder cannot be made or written (a read-only
    home), a fresh temporary one is used: kernels are then compiled once per process tree, never wrongly reused.
    """
    given = os.environ.get(VARIABLE, "")
    parent = Path(given).absolute() if given else user_cache_dir() / "lobgym" / "numba"
    if given and _HEX_DIGEST.fullmatch(parent.name):
        parent = parent.parent
    folder = parent / fingerprint(root)
    try:
        is_new = _touch(folder)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="lobgym-numba-")) / folder.name
        is_new = _touch(folder)
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:  # it read its settings when it was imported
        sys.modules["numba"].core.config.reload_config()
    if is_new:
        prune(folder.parent, in_use=folder)
    return folder


def prune(parent: Path, in_use: Path, now_s: float | None = None) -> list[Path]:
    """Remove folders of earlier sources below `parent`; return those removed.

    Kept are `in_use`, the `FOLDERS_KEPT` folders used last, all used within `DAYS_KEPT` days before `now_s` (seconds
    since the epoch, default: now), and whatever does not carry our marker.
    """
    now_s = time.time() if now_s is None else now_s
    last_use = {}
    for marker in parent.glob(f"*/{MARKER}"):
        try:
            last_use[marker.parent] = marker.stat().st_mtime
        except OSError:  # another process pruned it first
            continue
    last_use.pop(in_use, None)
    newest_first = sorted(last_use, key=lambda folder: last_use[folder], reverse=True)
    old = [folder for folder in newest_first[FOLDERS_KEPT - 1 :] if now_s - last_use[folder] > DAYS_KEPT * 86_400]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return old


def user_cache_dir() -> Path:
    """The folder for things that can be made again: XDG_CACHE_HOME, or what the operating system has for it."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"


def _touch(folder: Path) -> bool:
    """Make the folder and renew its marker; True where the folder is new."""
    marker = folder / MARKER
    is_new = not marker.exists()
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return is_new


def _sources_below(root: Path) -> dict[str, bytes]:
    sources: dict[str, bytes] = {}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if name != "__pycache__"]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    sources[os.path.relpath(path, root).replace(os.sep, "/")] = file.read()
    return sources


def _add(digest: hashlib._Hash, sources: dict[str, bytes], names: set[str]) -> None:
    for name in sorted(names):
        digest.update(f"{name} {len(sources[name])}\n".encode())
        digest.update(sources[name])


def _reachable(package: str, sources: dict[str, bytes], starts: Sequence[str] | None = None) -> set[str]:
    """`starts` (default: what mentions njit), and of `sources` all that they import from `package`, directly or not."""
    name = re.escape(package.encode()) + rb"[\w.]*"
    from_statement = re.compile(rb"^[ \t]*from[ \t]+(" + name + rb")[ \t]+import[ \t]+(\([^)]*\)|.*)", re.MULTILINE)
    import_statement = re.compile(rb"^[ \t]*import[ \t]+(" + name + rb")", re.MULTILINE)
    found: set[str] = set()
    waiting = [path for path, text in sources.items() if b"njit" in text] if starts is None else list(starts)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        text = re.sub(rb"#.*", b"", sources[path])  # a comment may hold the bracket that ends a list of names
        targets = import_statement.findall(text)
        for module, names in from_statement.findall(text):  # each name may be a module itself
            targets += [module] + [module + b"." + word for word in re.findall(rb"\w+", names)]
        for target in targets:
            inner = "/".join(target.decode().split(".")[1:])
            waiting += [file for file in (f"{inner}.py", f"{inner}/__init__.py".lstrip("/")) if file in sources]
    return found
