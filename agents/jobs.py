"""Many independent tasks on many workers: nothing lost, nothing done twice, the same results as one after another.

    results = run_jobs(evaluate_cell, [{"tape": "synth:calm", "seed": 0}, ...], "runs/board/cells")

The folder is the memory. A task is plain JSON; its result lies in `<folder>/<sha256 of function and task>/`, as
`result.json` beside whatever files the function wrote, and gets there by one rename: it is whole or not there. So a
run that was killed goes on where it was, and two commands never mix (the folder is locked while one works).

joblib distributes: over the processes of this machine (`loky`) or over a Ray cluster (`ray`; the folder must then be
one that all its machines see). A worker that dies takes its whole batch down, on either; the tasks without a result,
and only those, are then submitted again, at most `retries` times. A task that raises is another matter: it would
raise again, so it is reported when the rest is done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from lobgym.agents.errors import JobError

try:
    import fcntl
except ImportError:  # Windows has no such lock: there, two commands on one folder may do a task twice, with one result
    fcntl = None  # type: ignore[assignment]

__all__ = ["JobFunction", "run_jobs", "task_key"]

JobFunction: TypeAlias = Callable[[dict[str, Any], Path], dict[str, Any]]
Backend: TypeAlias = Literal["loky", "ray", "serial"]

RESULT_FILE: Final = "result.json"
LOCK_FILE: Final = ".lock"
_ASIDE: Final = ".aside-"
_RAY_POLL_S: Final = 0.25
_RAY_TASKS_MAX: Final = 1 << 20
_PARENT_POLL_S: Final = 0.2
_ORPHANED: Final = 1  # exit status of a worker whose parent is gone; nobody reads it

# (key, None) for a task whose result lies in the folder, (key, what it raised) for one that failed.
_Outcome: TypeAlias = tuple[str, str | None]
# function, task, the folder of results, and where the caller works: what a task names may be relative to that.
_Call: TypeAlias = tuple[str, str, str, str]


def run_jobs(
    function: JobFunction,
    tasks: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    workers: int = 0,
    backend: Backend = "loky",
    progress: Callable[[int, int], None] | None = None,
    retries: int = 3,
) -> list[dict[str, Any]]:
    """Results of `function(task, aside)` in the order of the tasks, computed or found in the folder.

    Args:
        function: importable by its module and name; called in a worker with the task as JSON gives it back (tuples
            become lists) and an empty folder of its own. Files that it leaves there are kept beside its result.
        tasks: JSON objects that hold all that decides their results: seeds, and the digests of tapes and source, where
            a result must not outlive those. Equal tasks are done once.
        folder: where results lie, made if missing.
        workers: processes; 0 for all cores, or for all of a Ray cluster. One worker is this process itself.
        backend: `serial` is one after another, here. `ray` uses a Ray that is initialised already, else the cluster
            that $RAY_ADDRESS names, else a local one for the time of this call.
        progress: called with (tasks that have a result, tasks); on Ray from a thread of its own.
        retries: how often tasks without a result are submitted again after a worker died.

    Raises:
        JobError: arguments out of range, a function that cannot be imported, a task or result that is not JSON; a task
            that raised; workers that kept dying; a folder that another command works in, or that holds a damaged
            result. Every result that was reached is kept.
    """
    if workers < 0 or retries < 0 or backend not in ("loky", "ray", "serial"):
        raise JobError(
            f"expected workers >= 0, retries >= 0 and loky, ray or serial, got {workers}, {retries} and {backend!r}"
        )
    name = _name_of(function)
    texts = [_canonical({"function": name, "task": dict(task)}) for task in tasks]
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    by_key = dict(zip(keys, texts, strict=True))
    home = Path(folder).resolve()
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        _Batches(name, by_key, home, workers, backend, progress).run(retries)
        results = {key: _read(home, key, text) for key, text in by_key.items()}
    return [results[key] for key in keys]


def task_key(function: JobFunction, task: Mapping[str, Any]) -> str:
    """The name of the folder, within the folder of all results, in which this task's result lies."""
    return hashlib.sha256(_canonical({"function": _name_of(function), "task": dict(task)}).encode()).hexdigest()


class _Batches:
    """The tasks of one call, submitted until each has a result."""

    def __init__(
        self,
        function: str,
        texts: Mapping[str, str],
        home: Path,
        workers: int,
        backend: Backend,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.function, self.texts, self.home = function, texts, home
        self.workers, self.backend = workers, backend
        self.tell = progress or (lambda done, total: None)

    def missing(self) -> list[str]:
        """Keys without a result, in the order of the tasks."""
        return [key for key in self.texts if not (self.home / key / RESULT_FILE).exists()]

    def run(self, retries: int) -> None:
        """Submit what is missing, and again after a broken batch."""
        failed: dict[str, str] = {}
        broken: Exception | None = None
        self.tell(len(self.texts) - len(self.missing()), len(self.texts))
        for _ in range(1 + retries):
            wanted = [key for key in self.missing() if key not in failed]
            if not wanted:
                break
            try:
                self._submit(wanted, failed)
            except _broken_errors(self.backend) as error:
                broken = error
        else:
            lost = [key for key in self.missing() if key not in failed]
            if lost:
                raise JobError(
                    f"workers died in each of {1 + retries} attempts; {len(lost)} of {len(self.texts)} tasks have no "
                    f"result, the first is {self.texts[lost[0]]}: {_line(broken)}. Short of memory? Take fewer workers"
                ) from broken
        if failed:
            first = next(key for key in self.texts if key in failed)
            raise JobError(
                f"{len(failed)} of {len(self.texts)} tasks failed, the first with {failed[first]} (task "
                f"{self.texts[first]}); the others' results are kept in {self.home}"
            )

    def _submit(self, wanted: list[str], failed: dict[str, str]) -> None:
        """One batch; fills `failed`, raises what the backend raises when a worker dies."""
        calls = [(self.function, self.texts[key], str(self.home), os.getcwd()) for key in wanted]
        done = len(self.texts) - len(self.missing())
        outcomes = {"serial": _serial, "loky": _loky, "ray": self._ray}[self.backend](calls, self.workers)
        try:
            with closing(outcomes):
                for key, error in outcomes:
                    if error is not None:
                        failed[key] = error
                        continue
                    done += 1
                    if self.backend != "ray":
                        self.tell(done, len(self.texts))
        finally:
            _clear_asides(self.home)

    def _ray(self, calls: list[_Call], workers: int) -> Generator[_Outcome, None, None]:
        """On Ray; joblib hands over a Ray batch only as a whole, so the folder tells how far it is."""
        stop = threading.Event()

        def watch() -> None:
            told = -1
            while True:
                last = stop.wait(_RAY_POLL_S)
                done = len(self.texts) - len(self.missing())
                if done != told:
                    told = done
                    self.tell(done, len(self.texts))
                if last:
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield from _ray_outcomes(calls, workers)
        finally:
            stop.set()
            watcher.join()


# -- the backends ------------------------------------------------------------------------------------------------------


def _serial(calls: list[_Call], workers: int) -> Generator[_Outcome, None, None]:
    yield from (_perform(*call) for call in calls)


def _loky(calls: list[_Call], workers: int) -> Generator[_Outcome, None, None]:
    import joblib

    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=workers or -1, batch_size=1, return_as="generator_unordered")
        outcomes = parallel(joblib.delayed(_perform_for)(os.getpid(), *call) for call in calls)
        try:
            for outcome in outcomes:  # noqa: UP028  # `yield from` would close it before the warning is silenced
                yield outcome
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # after Ctrl-C: that tasks are given up is meant
                outcomes.close()


def _ray_outcomes(calls: list[_Call], workers: int) -> Generator[_Outcome, None, None]:
    import joblib
    import ray
    from ray.util.joblib import register_ray

    register_ray()  # type: ignore[no-untyped-call]
    ours = not ray.is_initialized()
    if ours:
        local: dict[str, Any] = (
            {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers or None, "include_dashboard": False}
        )
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    try:
        with joblib.parallel_config("ray"):
            parallel = joblib.Parallel(n_jobs=workers or -1, batch_size=1, pre_dispatch=_RAY_TASKS_MAX)
            yield from parallel(joblib.delayed(_perform)(*call) for call in calls)
    finally:
        if ours:
            ray.shutdown()


def _broken_errors(backend: Backend) -> tuple[type[Exception], ...]:
    """What a backend raises when a worker has died; what tasks raise never gets here.

    Asked for when something was raised, Ctrl-C too: only a command that is on Ray may wait for Ray's import.
    """
    if backend != "ray":
        return (BrokenExecutor,)
    try:
        from ray.exceptions import RayError
    except ModuleNotFoundError:
        return (BrokenExecutor,)
    return BrokenExecutor, RayError


# -- in the worker -----------------------------------------------------------------------------------------------------

_WATCHED: set[int] = set()  # parents that this worker will not outlive


def _perform_for(parent: int, function: str, text: str, home: str, place: str) -> _Outcome:
    """`_perform` in a process that ends with the one that wants the result.

    With one worker joblib calls this in the parent itself, which nothing is to happen to.
    """
    if os.getpid() != parent and parent not in _WATCHED:
        _WATCHED.add(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the parent ends its workers
        _end_with(parent)
    return _perform(function, text, home, place)


def _end_with(parent: int) -> None:
    """Let this process end soon after its parent has; else a killed command's workers would compute on unseen.

    A thread looks, since the main one computes: it gets its turn whenever a compiled function returns. On Windows a
    parent's number does not change when it dies; there nothing is noticed.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        os._exit(_ORPHANED)  # at once: no cleaning up, which could wait for the dead; the next command tidies

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _perform(function: str, text: str, home: str, place: str) -> _Outcome:
    """Do one task and put its result in place."""
    if os.getcwd() != place and os.path.isdir(place):  # a worker may have been started from elsewhere
        os.chdir(place)
    key = hashlib.sha256(text.encode()).hexdigest()
    target = Path(home) / key
    if (target / RESULT_FILE).exists():  # a worker of a broken batch may have finished after all
        return key, None
    aside = Path(home) / f"{_ASIDE}{key}.{secrets.token_hex(4)}"
    try:
        aside.mkdir()
        task = json.loads(text)["task"]
        _write_result(aside, text, _resolve(function)(task, aside))
        _put(aside, target)
    except Exception as error:
        return key, _line(error)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return key, None


def _write_result(aside: Path, text: str, result: Any) -> None:
    if not isinstance(result, dict):
        raise JobError(f"expected a dict as a result, got {type(result).__name__}")
    record = json.dumps({**json.loads(text), "result": result}, sort_keys=True, allow_nan=False, indent=1)
    with (aside / RESULT_FILE).open("x", encoding="utf-8") as file:
        file.write(record + "\n")
        file.flush()
        os.fsync(file.fileno())


def _put(aside: Path, target: Path) -> None:
    """Rename into place, unless another worker was first."""
    try:
        aside.rename(target)
    except OSError:
        if not (target / RESULT_FILE).exists():
            raise


# -- names, texts, the folder ------------------------------------------------------------------------------------------


def _name_of(function: JobFunction) -> str:
    """`module:name`, if that is where the function can be found again."""
    name = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', '?')}"
    if name.startswith("__main__:"):
        raise JobError(f"expected a function of a module that workers can import, got {name}: move it to a module")
    try:
        found = _resolve(name)
    except (ImportError, AttributeError) as error:
        raise JobError(f"expected a function that can be imported by its name, got {name}: {error}") from error
    if found is not function:
        raise JobError(f"{name} is another object than the function given; give the one of the module itself")
    return name


def _resolve(name: str) -> JobFunction:
    module, _, attribute = name.partition(":")
    found: JobFunction = getattr(import_module(module), attribute)
    return found


def _canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; a float is written as the shortest text that reads back equal."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise JobError(f"expected a task of JSON values, got {value!r}: {error}") from error


def _read(home: Path, key: str, text: str) -> dict[str, Any]:
    """A result, after proving that it is this task's."""
    path = home / key / RESULT_FILE
    try:
        record = json.loads(path.read_bytes())
        result: dict[str, Any] = record.pop("result")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{path} is damaged ({error}); delete {path.parent} and run again") from error
    if _canonical(record) != text or not isinstance(result, dict):
        raise JobError(f"{path} holds another task's result; delete {path.parent} and run again")
    return result


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the folder; what a killed command left half done in it is removed."""
    with (home / LOCK_FILE).open("ab") as lock:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(f"another command works in {home}; wait for it, or choose another folder") from error
        _clear_asides(home)
        yield


def _clear_asides(home: Path) -> None:
    for path in home.glob(f"{_ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


def _line(error: BaseException | None) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}" if error is not None else "no reason known"
