"""The folder of generated tapes: what is kept is used, what is damaged is not, and nothing depends on it.

Method: a cache in a folder of the test, and a maker that counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lobgym.sim.progress import report_progress
from lobgym.sim.scenarios import cache, generate, read_name
from lobgym.sim.scenarios.cache import TapeCache
from lobgym.sim.tape import Tape

NAME = read_name("synth:calm?minutes=0.05").full
OTHER = read_name("synth:calm?minutes=0.05&seed=1").full


class Maker:
    """Makes tapes, and counts them."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, name: str) -> Tape:
        self.made.append(name)
        return generate(name)


def test_a_tape_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    first = TapeCache(tmp_path / "new" / "folder").get(NAME, make)
    again = TapeCache(tmp_path / "new" / "folder").get(NAME, make)
    assert make.made == [NAME]
    assert again == first == generate(NAME)
    assert again.provenance == first.provenance
    assert [path.suffix for path in (tmp_path / "new" / "folder").iterdir()] == [".parquet"]


def test_names_and_sources_have_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = TapeCache(tmp_path)
    paths = {here.path_of(NAME), here.path_of(OTHER)}
    monkeypatch.setattr(cache, "_sources", lambda: "other sources")
    paths |= {here.path_of(NAME), here.path_of(OTHER)}
    assert len(paths) == 4


def test_the_users_cache_folder_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert TapeCache().path_of(NAME).parent == tmp_path / "lobgym" / "tapes"


@pytest.mark.parametrize("damage", ["cut", "one byte", "another tape", "empty"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    make, here = Maker(), TapeCache(tmp_path)
    good = here.get(NAME, make)
    path = here.path_of(NAME)
    content = path.read_bytes()
    if damage == "another tape":
        here.get(OTHER, generate)
        os.replace(here.path_of(OTHER), path)
    else:
        middle = len(content) // 3
        bent = content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]
        path.write_bytes({"cut": content[: len(content) // 2], "one byte": bent, "empty": b""}[damage])
    assert here.get(NAME, make) == good
    assert make.made == [NAME, NAME]
    assert here.get(NAME, make) == good
    assert len(make.made) == 2


@pytest.mark.parametrize("kind", ["a file in the way", "no permission"])
def test_without_a_folder_it_works_and_warns_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_warned", [])
    folder = tmp_path / "tapes"
    if kind == "a file in the way":
        folder.write_text("")
    else:

        def refused(tape: Tape, path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Tape, "save", refused)
    make = Maker()
    with pytest.warns(UserWarning, match="cannot be kept"):
        tape = TapeCache(folder).get(NAME, make)
    assert TapeCache(folder).get(NAME, make) == tape  # a second warning would be an error
    assert make.made == [NAME, NAME]


def test_what_is_old_or_too_much_goes(tmp_path: Path) -> None:
    """Ages count back from the newest file: 40 days, a day, now; room for two."""
    here = TapeCache(tmp_path)
    day = 86_400_000_000_000
    now = 1_700_000_000_000_000_000
    ages = {"old": 40 * day, "b": 3 * day, "c": 2 * day, "d": day, "new": 0}
    for name, age in ages.items():
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(bytes(1000))
        os.utime(path, ns=(now - age, now - age))
    for name, age in {"dead": 2 * day, "living": 0}.items():
        aside = tmp_path / f".tmp-{name}"
        aside.write_bytes(b"")
        os.utime(aside, ns=(now - age, now - age))
    bystander = tmp_path / "notes.txt"
    bystander.write_text("mine")
    os.utime(bystander, ns=(0, 0))
    here.prune(tmp_path / "new.parquet")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"b.parquet", "c.parquet", "d.parquet", "new.parquet", ".tmp-living", "notes.txt"}
    TapeCache(tmp_path, bytes_kept=2500).prune(tmp_path / "new.parquet")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"d.parquet", "new.parquet", ".tmp-living", "notes.txt"}


def test_reading_counts_as_use(tmp_path: Path) -> None:
    here = TapeCache(tmp_path)
    here.get(NAME, generate)
    os.utime(here.path_of(NAME), ns=(0, 0))
    here.get(NAME, generate)
    assert here.path_of(NAME).stat().st_mtime_ns > 0


def test_two_processes_at_once_do_not_meet(tmp_path: Path) -> None:
    """Both write the same tape again and again; whenever it is looked at, it is whole."""
    code = (
        "import sys; from pathlib import Path; from lobgym.sim.scenarios import generate\n"
        "from lobgym.sim.scenarios.cache import TapeCache\n"
        f"c, t = TapeCache(Path(sys.argv[1])), generate({NAME!r})\n"
        f"for _ in range(40): t.save(c.path_of({NAME!r})); assert c.get({NAME!r}, None) == t\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [one.wait(timeout=120) for one in running] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_progress_is_told_and_changes_nothing() -> None:
    silent = generate("synth:calm?minutes=0.1")
    seen: list[tuple[str, int, int]] = []
    report_progress(lambda *said: seen.append(said))
    try:
        told = generate("synth:calm?minutes=0.1")
    finally:
        report_progress(None)
    assert told == silent
    assert [done for _, done, _ in seen] == list(range(1, len(seen) + 1))
    assert {(name, total) for name, _, total in seen} == {("synth:calm?minutes=0.1", len(seen))}
    assert len(seen) >= 20
