"""Goal: what users install is one ordinary package `lobgym`, complete, without a link and without anything else.

Method: a copy of the source tree is built twice, directly and by way of the source archive; the wheel is installed
aside and used by a fresh process that cannot see the repository.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.project import ROOMS, ROOT, project_files

PACKED_SUFFIXES = {".py", ".json", ".toml", ".html", ".css", ".js", ".svg", ".md", ".typed", ".yml"}


def run(*command: str, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sdist/*.tar.gz`, `sdist/*.whl` (made from that archive) and `tree/*.whl` (from the tree)."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    for name in (*ROOMS, "lobgym", "tests", "docs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    for name in ROOMS:
        assert (source / "lobgym" / name).is_symlink(), f"lobgym/{name} is no symlink: see docs/windows.md"
    build = [sys.executable, "-m", "build", "--no-isolation"]
    run(*build, "--wheel", "--outdir", str(folder / "tree"), cwd=source)
    shutil.rmtree(source / "build")
    run(*build, "--outdir", str(folder / "sdist"), cwd=source)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = (built / "tree").glob("*.whl")
    return path


def expected_files() -> set[str]:
    packed = {path for path in project_files() if path.suffix in PACKED_SUFFIXES}
    rooms = {f"lobgym/{path.as_posix()}" for path in packed if path.parts[0] in ROOMS}
    return rooms | {path.as_posix() for path in packed if path.parts[0] == "lobgym"}


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    assert names == expected_files()
    assert [name for name, mode in modes.items() if stat.S_ISLNK(mode)] == []
    assert "License-Expression: Apache-2.0" in text
    assert any(name.endswith("/licenses/LICENSE") for name in modes)


def test_no_file_of_a_room_has_a_kind_that_is_not_packed() -> None:
    """A new kind of data file is added to package-data, to MANIFEST.in and to PACKED_SUFFIXES."""
    in_rooms = [path for path in project_files() if path.parts[0] in (*ROOMS, "lobgym")]
    assert [str(path) for path in in_rooms if path.suffix not in PACKED_SUFFIXES] == []


def test_the_source_archive_holds_real_files_under_lobgym_only(built: Path) -> None:
    (path,) = (built / "sdist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert [member.name for member in members if not (member.isfile() or member.isdir())] == []
    inner = {member.name.partition("/")[2] for member in members if member.isfile()}
    assert {name for name in inner if name.startswith("lobgym/")} == expected_files()
    assert {name.split("/")[0] for name in inner if "/" in name} == {"lobgym", "lobgym.egg-info"}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= inner


def test_the_wheel_made_from_the_archive_is_the_same(built: Path, wheel: Path) -> None:
    (other,) = (built / "sdist").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(other) as two:
        assert {entry.filename: entry.CRC for entry in one.infolist() if not entry.filename.endswith("/RECORD")} == {
            entry.filename: entry.CRC for entry in two.infolist() if not entry.filename.endswith("/RECORD")
        }


USE = """
import sys
sys.path.insert(0, sys.argv[1])
import lobgym, lobgym.sim, lobgym.envs
assert lobgym.__file__.startswith(sys.argv[1]), lobgym.__file__
import gymnasium as gym
env = gym.make("lobgym.envs:lobgym/Grid-v0", tape="synth?seed=1&minutes=2", horizon=5)
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
assert observation in env.observation_space
from lobgym.sim import kernel
assert kernel.__file__.startswith(sys.argv[1]), kernel.__file__
assert not any(room in sys.modules for room in sys.argv[2:])
print("stepped")
"""


def test_an_installed_wheel_works_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    run(*pip, "--target", str(target), str(wheel), cwd=tmp_path)
    top = {path.name for path in target.iterdir() if not path.name.endswith(".dist-info")}
    assert top <= {"lobgym", "bin"}
    assert run(sys.executable, "-I", "-c", USE, str(target), *ROOMS, cwd=tmp_path).strip() == "stepped"
