"""Jobs: nothing lost, nothing counted twice, and the same results as one process, whatever dies in between.

Method: the functions of `job_functions` log each beginning and end, and one of them kills its own worker (SIGKILL) once
some tasks have ended. The log then says what was done how often; the folder's bytes are compared with a serial run's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lobgym.agents import jobs
from lobgym.agents.errors import JobError
from lobgym.agents.jobs import run_jobs, task_key
from tests.agents.job_functions import die, echo, note_and_refuse, refuse, square, where
from tests.project import ROOT

TASKS = 12
KILLER = 6


def tasks(folder: Path, killer: int | None = None) -> list[dict[str, Any]]:
    """Twelve tasks; one of them kills its worker once, after three others have ended."""
    common = {"log": str(folder / "log"), "once": str(folder / "once"), "killer": killer, "after": 3}
    return [{"n": n, **common} for n in range(TASKS)]


def log_of(folder: Path) -> Counter[str]:
    return Counter((folder / "log").read_text().split("\n")[:-1])


def content(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture(params=["loky", "ray"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ray":
        pytest.importorskip("ray")
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return str(request.param)


def test_a_killed_worker_costs_nothing_but_its_own_task(backend: str, tmp_path: Path) -> None:
    given = tasks(tmp_path, KILLER)
    seen: list[tuple[int, int]] = []
    results = run_jobs(
        square,
        given,
        tmp_path / "home",
        workers=2,
        backend=backend,  # type: ignore[arg-type]
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [result["square"] for result in results] == [n * n for n in range(TASKS)]

    log = log_of(tmp_path)
    assert (tmp_path / "once").exists(), "nothing was killed, so nothing was tested"
    # The batch went down with the worker. Begun twice is at most what was then under way: the killer, and one task in
    # the other worker (which may have noted its end, and died before its result was in place).
    again = {n for n in range(TASKS) if log[f"begin {n}"] > 1}
    assert KILLER in again
    assert len(again) <= 2
    assert all(log[f"begin {n}"] == log[f"end {n}"] == 1 for n in set(range(TASKS)) - again)

    assert [total for _, total in seen] == [TASKS] * len(seen)
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert done[-1] == TASKS

    # Byte for byte what one process gives (it finds the marker, and kills nobody).
    assert run_jobs(square, given, tmp_path / "serial", backend="serial") == results
    assert content(tmp_path / "home") == content(tmp_path / "serial")
    assert len([path for path in (tmp_path / "home").iterdir() if path.is_dir()]) == TASKS


def test_a_task_that_always_kills_ends_in_an_error_and_the_rest_is_kept(tmp_path: Path) -> None:
    given = [{"n": n, "log": str(tmp_path / "log")} for n in range(4)]
    with pytest.raises(JobError, match=r"workers died in each of 1 attempts.*'?\"n\":1"):
        run_jobs(die, given, tmp_path / "home", workers=2, retries=0)
    assert log_of(tmp_path)["begin 1"] == 1
    with pytest.raises(JobError, match=r"workers died in each of 4 attempts.*'?\"n\":1") as caught:
        run_jobs(die, given, tmp_path / "home", workers=2)  # submitted again three times, unless told otherwise
    assert caught.value.__cause__ is not None
    assert log_of(tmp_path)["begin 1"] == 1 + 4
    assert (tmp_path / "home" / task_key(die, given[0]) / "result.json").exists()
    assert not (tmp_path / "home" / task_key(die, given[1])).exists()


def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    """The whole process dies, without a chance to tidy up."""
    given = tasks(tmp_path, KILLER)
    script = (
        "import json, sys; from lobgym.agents.jobs import run_jobs; from tests.agents.job_functions import square\n"
        "run_jobs(square, json.loads(sys.argv[1]), sys.argv[2], backend='serial')"
    )
    command = [sys.executable, "-c", script, json.dumps(given), str(tmp_path / "home")]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "home").glob(".aside-*")), "it should have died in the middle of a task"
    results = run_jobs(square, given, tmp_path / "home", backend="serial")
    assert [result["n"] for result in results] == list(range(TASKS))
    log = log_of(tmp_path)
    assert all(log[f"begin {n}"] == (2 if n == KILLER else 1) for n in range(TASKS))
    assert not list((tmp_path / "home").glob(".aside-*"))


def test_ctrl_c_keeps_what_was_reached(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    given = tasks(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(square, given, tmp_path / "home", backend="serial", progress=stop)
    assert sum(log_of(tmp_path).values()) == 10
    run_jobs(square, given, tmp_path / "home", backend="serial")
    assert all(count == 1 for count in log_of(tmp_path).values())


def test_ctrl_c_stops_the_workers_too(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    given = tasks(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(square, given, tmp_path / "home", workers=2, progress=stop)
    time.sleep(0.5)
    ended = sum(line.startswith("end") for line in log_of(tmp_path))
    assert ended < TASKS
    results = run_jobs(square, given, tmp_path / "home", workers=2)
    assert [result["n"] for result in results] == list(range(TASKS))


COMMAND = (
    # Who runs the tests may have told them to ignore Ctrl-C, which is inherited.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import sys; from lobgym.agents.jobs import run_jobs; from tests.agents.job_functions import work\n"
    "tasks = [{'n': n, 'log': sys.argv[1] + '/log'} for n in range(6)]\n"
    "run_jobs(work, tasks, sys.argv[1] + '/home', workers=2, backend=sys.argv[2])"
)


@pytest.fixture
def command(backend: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A command with two busy workers, in a terminal's process group of its own, and the workers' numbers."""
    script = [sys.executable, "-c", COMMAND, str(tmp_path), backend]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(script, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        log, deadline = tmp_path / "log", time.monotonic() + 120
        while not log.exists() or log.read_text().count("begin") < 2:
            assert run.poll() is None, "it should be at work"
            assert time.monotonic() < deadline, "its workers never began"
            time.sleep(0.05)
        try:
            yield run, [int(line.split()[1]) for line in log.read_text().splitlines()]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def test_workers_end_with_a_killed_command(
    command: tuple[subprocess.Popen[str], list[int]], backend: str, tmp_path: Path
) -> None:
    """SIGKILL of the parent alone: nobody is left to tell its workers."""
    run, workers = command
    assert len(set(workers)) == 2
    run.kill()
    run.wait()
    ended(workers, 20.0)
    assert log_of(tmp_path).total() == 2, "no other task was begun"


def test_ctrl_c_at_a_terminal_stops_all_at_once(
    command: tuple[subprocess.Popen[str], list[int]], backend: str, tmp_path: Path
) -> None:
    """SIGINT goes to the whole group, as from a terminal; only the command itself speaks of it."""
    run, workers = command
    os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=30)[1]
    ended(workers, 5.0)
    assert said.count("Traceback") == 1
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".lock"]


def test_one_worker_is_the_command_itself_and_lives_on(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert run_jobs(echo, [{"n": 1}, {"n": 2}], tmp_path, workers=1) == [{"n": 1}, {"n": 2}]
    time.sleep(0.5)  # more than a look of the watcher's
    assert signal.getsignal(signal.SIGINT) is before
    assert not [thread for thread in threading.enumerate() if thread.name == "parent-watch"]


def test_a_command_on_processes_never_waits_for_rays_import(tmp_path: Path) -> None:
    """Ray takes seconds to import, and what a backend raises is asked for at Ctrl-C."""
    script = (
        "import sys; from lobgym.agents.jobs import run_jobs; from tests.agents.job_functions import echo\n"
        "def stop(done, total): raise KeyboardInterrupt\n"
        "try: run_jobs(echo, [{}], sys.argv[1], workers=2, progress=stop)\n"
        "except KeyboardInterrupt: print('ray' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout == "False\n"


def ended(workers: list[int], seconds: float) -> None:
    """Assert that processes end within so many seconds (a zombie has)."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in workers if alive(pid)]:
        assert time.monotonic() < deadline, f"{left} compute on"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def test_what_is_there_is_not_done_again_and_equal_tasks_are_one(tmp_path: Path) -> None:
    given = tasks(tmp_path)
    first = run_jobs(square, given[:4] + given[:2], tmp_path / "home", backend="serial")
    assert first[4:] == first[:2]
    assert sum(log_of(tmp_path).values()) == 8
    seen: list[int] = []
    assert run_jobs(square, given[:4], tmp_path / "home", progress=lambda done, _: seen.append(done)) == first[:4]
    assert seen == [4]
    assert sum(log_of(tmp_path).values()) == 8
    assert (tmp_path / "home" / task_key(square, given[2]) / "n.txt").read_text() == "2"


def test_a_task_that_raises_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    given = [{"n": n} for n in range(6)]
    with pytest.raises(JobError, match=r"4 of 6 tasks failed, the first with ValueError: 1 is odd \(task .*\"n\":1"):
        run_jobs(refuse, given, tmp_path, workers=2)
    assert run_jobs(refuse, [{"n": 0}, {"n": 4}], tmp_path) == [{"n": 0}, {"n": 4}]
    for n in (1, 2):
        assert not (tmp_path / task_key(refuse, {"n": n})).exists()


def test_what_raises_is_tried_once_and_never_counted_as_done(tmp_path: Path) -> None:
    given = [{"n": n, "log": str(tmp_path / "log")} for n in range(5)]
    seen: list[int] = []
    with pytest.raises(JobError, match="2 of 5 tasks failed"):
        run_jobs(
            note_and_refuse, given, tmp_path / "home", backend="serial", progress=lambda done, _: seen.append(done)
        )
    assert log_of(tmp_path) == Counter(f"begin {n}" for n in range(5))
    assert seen == [0, 1, 2, 3]


def test_a_resumed_command_counts_on_from_what_is_there(tmp_path: Path) -> None:
    given = [{"n": n} for n in range(4)]
    run_jobs(echo, given[:2], tmp_path, backend="serial")
    (tmp_path / ".aside-left-behind").mkdir()
    seen: list[int] = []
    run_jobs(echo, given, tmp_path, backend="serial", progress=lambda done, _: seen.append(done))
    assert seen == [2, 3, 4]
    (tmp_path / ".aside-left-behind").mkdir()
    run_jobs(echo, given, tmp_path, backend="serial")
    assert not list(tmp_path.glob(".aside-*")), "what nobody needs goes although nothing was to do"


def test_a_worker_leaves_alone_what_another_one_has_finished(tmp_path: Path) -> None:
    """Two workers may have one task where a batch broke: the first result stands, and the second is no error."""
    (task,) = tasks(tmp_path)[:1]
    run_jobs(square, [task], tmp_path / "home", backend="serial")
    key, before = task_key(square, task), content(tmp_path / "home")
    text = jobs._canonical({"function": f"{square.__module__}:square", "task": task})
    assert jobs._perform(f"{square.__module__}:square", text, str(tmp_path / "home"), os.getcwd()) == (key, None)
    assert log_of(tmp_path) == Counter({"begin 0": 1, "end 0": 1}), "it was not done again"
    # Both at once: the later one finds the place taken.
    aside = tmp_path / "home" / ".aside-later"
    aside.mkdir()
    (aside / "result.json").write_text("another")
    jobs._put(aside, tmp_path / "home" / key)
    shutil.rmtree(aside)
    assert content(tmp_path / "home") == before
    # A place that is taken by something without a result is no place that was reached.
    aside.mkdir()
    taken = tmp_path / "home" / "taken"
    taken.mkdir()
    (taken / "half.txt").touch()
    with pytest.raises(OSError, match="taken"):
        jobs._put(aside, taken)


def test_a_task_works_where_its_command_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task names may be relative to that; a worker may be older than the command's last change of folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    text = jobs._canonical({"function": f"{where.__module__}:where", "task": {}})
    key, error = jobs._perform(f"{where.__module__}:where", text, str(tmp_path / "home-of-results"), str(elsewhere))
    assert error is not None, "the folder of results is not there"
    (tmp_path / "home").mkdir()
    key, error = jobs._perform(f"{where.__module__}:where", text, str(tmp_path / "home"), str(elsewhere))
    assert error is None
    result = json.loads((tmp_path / "home" / key / "result.json").read_text())["result"]
    assert result == {"place": str(elsewhere)}


def test_two_commands_do_not_work_in_one_folder(tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(JobError, match="another command works in"):
            run_jobs(echo, [{"n": 2}], tmp_path, backend="serial")

    assert run_jobs(echo, [{"n": 1}], tmp_path, backend="serial", progress=second) == [{"n": 1}]
    assert run_jobs(echo, [{"n": 2}], tmp_path, backend="serial") == [{"n": 2}]


def test_a_result_that_is_not_this_tasks_is_refused(tmp_path: Path) -> None:
    run_jobs(echo, [{"n": 1}, {"n": 2}], tmp_path, backend="serial")
    one, two = (tmp_path / task_key(echo, {"n": n}) / "result.json" for n in (1, 2))
    one.write_bytes(two.read_bytes())
    with pytest.raises(JobError, match="another task's result"):
        run_jobs(echo, [{"n": 1}], tmp_path, backend="serial")
    for damage in ("", "[]", '{"result": 1}', one.read_text()[:-20]):
        one.write_text(damage)
        with pytest.raises(JobError, match="delete"):
            run_jobs(echo, [{"n": 1}], tmp_path, backend="serial")


def test_the_key_is_of_the_inputs_alone() -> None:
    assert task_key(echo, {"a": 1, "b": 2.5}) == task_key(echo, {"b": 2.5, "a": 1})
    keys = {task_key(echo, {"a": 1}), task_key(echo, {"a": 2}), task_key(echo, {"a": 1.0}), task_key(refuse, {"a": 1})}
    assert len(keys) == 4


def test_what_cannot_work_is_said_at_once(tmp_path: Path) -> None:
    def local(task: dict[str, Any], aside: Path) -> dict[str, Any]:
        return task

    for function in (local, lambda task, aside: task):
        with pytest.raises(JobError, match="imported by its name"):
            run_jobs(function, [{}], tmp_path)
    with pytest.raises(JobError, match="expected a task of JSON values"):
        run_jobs(echo, [{"x": float("nan")}], tmp_path)
    with pytest.raises(JobError, match="expected a task of JSON values"):
        run_jobs(echo, [{"x": Path()}], tmp_path)
    with pytest.raises(JobError, match="loky, ray or serial"):
        run_jobs(echo, [{}], tmp_path, backend="threads")  # type: ignore[arg-type]
    with pytest.raises(JobError, match="retries >= 0"):
        run_jobs(echo, [{}], tmp_path, retries=-1)
    assert run_jobs(echo, [], tmp_path) == []
    assert run_jobs(echo, [{"x": (1, 2)}], tmp_path, backend="serial") == [{"x": [1, 2]}]
