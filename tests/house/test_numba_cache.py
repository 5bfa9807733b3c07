"""Goal: no kernel outlives the sources it was made of, and the folders neither nest nor pile up.

Method: the functions of `lobgym._numba_cache` on tiny packages in tmp_path; the stale callee is shown in child
processes, first as numba alone behaves, then with the fingerprint.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lobgym
from lobgym import _numba_cache as cache

ROOT = Path(lobgym.__file__).parent

CALLEE = """
import numba
@numba.njit(cache=True)
def rate():
    return {value}
"""
CALLER = """
import numba
from tiny.callee import rate
@numba.njit(cache=True)
def price():
    return 10 * rate()
"""
RUN_PLAIN = "from tiny.caller import price; print(price())"
RUN_FINGERPRINTED = """
import pathlib, sys
from lobgym import _numba_cache
_numba_cache.install(pathlib.Path(sys.argv[1]) / "tiny")
from tiny.caller import price
print(price())
"""


def package(folder: Path, **modules: str) -> Path:
    root = folder / "tiny"
    root.mkdir(exist_ok=True)
    for name, text in {"__init__": "", **modules}.items():
        (root / f"{name}.py").write_text(text)
    return root


def run(code: str, folder: Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-B", "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT.parent}", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(("code", "after_the_change"), [(RUN_PLAIN, "10"), (RUN_FINGERPRINTED, "20")])
def test_a_changed_callee_in_another_file(tmp_path: Path, code: str, after_the_change: str) -> None:
    """numba alone answers with the old callee; should it ever stop to, the first case says that the cure can go."""
    kept = str(tmp_path / "kept")
    package(tmp_path, callee=CALLEE.format(value=1), caller=CALLER)
    assert run(code, tmp_path, NUMBA_CACHE_DIR=kept) == "10"
    package(tmp_path, callee=CALLEE.format(value=2), caller=CALLER)
    assert run(code, tmp_path, NUMBA_CACHE_DIR=kept) == after_the_change


def test_unchanged_sources_are_loaded_not_compiled(tmp_path: Path) -> None:
    package(tmp_path, callee=CALLEE.format(value=1), caller=CALLER)
    code = RUN_FINGERPRINTED + "print(sum(price.stats.cache_hits.values()))"
    first = run(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kept"))
    second = run(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kept"))
    assert (first.split(), second.split()) == (["10", "0"], ["10", "1"])


def test_numba_may_be_imported_first(tmp_path: Path) -> None:
    package(tmp_path, callee=CALLEE.format(value=1), caller=CALLER)
    kept = tmp_path / "kept"
    assert run("import numba\n" + RUN_FINGERPRINTED, tmp_path, NUMBA_CACHE_DIR=str(kept)) == "10"
    folders = [path for path in kept.iterdir() if (path / cache.MARKER).exists()]
    assert any(list(folder.rglob("caller.price*.nbc")) for folder in folders)
    assert not list(kept.glob("tiny_*"))


class TestFingerprint:
    def test_changes_with_what_a_kernel_reads_and_with_nothing_else(self, tmp_path: Path) -> None:
        modules = {
            "kernel": "from tiny.constants import (\n    ONE,  # (see there)\n)\nfrom tiny.jit import njit\n",
            "jit": "njit = None\n",
            "constants": "import tiny.deep\nONE = 1\n",
            "deep": "TWO = 2\n",
            "report": "from tiny.kernel import ONE\n",
        }
        before = cache.fingerprint(package(tmp_path, **modules))
        assert before == cache.fingerprint(tmp_path / "tiny")
        for name in modules:
            changed = cache.fingerprint(package(tmp_path, **{**modules, name: modules[name] + "# changed\n"}))
            assert (changed != before) == (name != "report"), name

    def test_is_independent_of_the_place(self, tmp_path: Path) -> None:
        root = package(tmp_path, callee=CALLEE, caller=CALLER)
        shutil.copytree(root, tmp_path / "elsewhere" / "tiny")
        assert cache.fingerprint(root) == cache.fingerprint(tmp_path / "elsewhere" / "tiny")

    def test_follows_the_symlinks_of_the_source_tree(self, tmp_path: Path) -> None:
        real = package(tmp_path, callee=CALLEE)
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "tiny").symlink_to(real, target_is_directory=True)
        assert cache.fingerprint(tmp_path / "linked" / "tiny") == cache.fingerprint(real)

    def test_settings_that_numba_does_not_check_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = package(tmp_path, callee=CALLEE)
        before = cache.fingerprint(root)
        monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
        assert cache.fingerprint(root) != before

    def test_of_lobgym_is_quick_and_covers_the_constants(self) -> None:
        start = time.perf_counter()
        for _ in range(5):
            cache.fingerprint(ROOT)
        assert (time.perf_counter() - start) / 5 < 0.25  # measured: a few milliseconds
        sources = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / "sim").rglob("*.py")}
        assert {"sim/jit.py", "sim/records.py"} <= cache._reachable("lobgym", sources)


class TestInstall:
    @pytest.fixture(autouse=True)
    def _environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
        monkeypatch.setenv(cache.VARIABLE, "")  # so that the present value comes back afterwards
        monkeypatch.delitem(sys.modules, "numba", raising=False)  # the running numba keeps its folder

    def test_default_is_below_the_user_cache(self, tmp_path: Path) -> None:
        root = package(tmp_path, callee=CALLEE)
        folder = cache.install(root)
        assert folder == tmp_path / "user-cache" / "lobgym" / "numba" / cache.fingerprint(root)
        assert os.environ[cache.VARIABLE] == str(folder)

    def test_a_given_folder_becomes_the_parent_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = package(tmp_path, callee=CALLEE)
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "mine"))
        first = cache.install(root)
        assert first.parent == tmp_path / "mine"
        assert cache.install(root) == first  # a child process inherits the extended path
        package(tmp_path, callee=CALLEE + "# changed\n")
        assert cache.install(root).parent == tmp_path / "mine"

    def test_a_relative_folder_stays_where_it_is_for_children(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(cache.VARIABLE, "mine")
        assert cache.install(package(tmp_path, callee=CALLEE)).parent == tmp_path / "mine"

    def test_an_unusable_folder_is_replaced_by_a_fresh_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a-file").touch()
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "a-file"))
        monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
        folder = cache.install(package(tmp_path, callee=CALLEE))
        assert folder.is_dir()
        assert folder.parent.parent == tmp_path

    def test_this_process_uses_it(self) -> None:
        code = "import lobgym, numba, os; print(numba.config.CACHE_DIR == os.environ['NUMBA_CACHE_DIR'] != '')"
        assert run(code, ROOT.parent) == "True"


def test_prune_keeps_the_newest_the_recent_and_what_is_not_ours(tmp_path: Path) -> None:
    now_s, day_s = 1_000_000_000.0, 86_400.0
    for age_days in (0, 1, 6, 8, 9, 30, 31):
        folder = tmp_path / f"{age_days:064x}"
        folder.mkdir()
        (folder / cache.MARKER).touch()
        os.utime(folder / cache.MARKER, (now_s - age_days * day_s,) * 2)
    (tmp_path / ("f" * 64)).mkdir()
    in_use = tmp_path / f"{31:064x}"
    removed = cache.prune(tmp_path, in_use=in_use, now_s=now_s)
    assert sorted(int(folder.name, 16) for folder in removed) == [8, 9, 30]
    assert in_use.is_dir()
    assert (tmp_path / ("f" * 64)).is_dir()


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "x"}, Path("x")),
        ("linux", {}, Path.home() / ".cache"),
        ("darwin", {}, Path.home() / "Library" / "Caches"),
        ("win32", {"LOCALAPPDATA": "local"}, Path("local")),
        ("win32", {}, Path.home() / "AppData" / "Local"),
    ],
)
def test_user_cache_dir(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: Path
) -> None:
    monkeypatch.setattr(cache.sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache.user_cache_dir() == expected


def test_a_source_digest_follows_imports_from_where_it_starts(tmp_path: Path) -> None:
    package = tmp_path / "lobgym"
    package.mkdir()
    for name, text in {"a": "from lobgym.b import x\n", "b": "x = 1\n", "c": "y = 1\n"}.items():
        (package / f"{name}.py").write_text(text)
    before = cache.source_digest(package, ("a.py",))
    (package / "c.py").write_text("y = 2\n")
    assert cache.source_digest(package, ("a.py",)) == before
    (package / "b.py").write_text("x = 2\n")
    assert cache.source_digest(package, ("a.py",)) != before
