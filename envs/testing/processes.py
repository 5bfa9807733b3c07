"""Checks in other processes: one seed, one hash; and the worker processes of Stable-Baselines3."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from lobgym.envs.testing.rollout import actions_for, difference, digest, rollout
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject

__all__ = ["check_subprocesses", "check_two_processes", "digest_of", "digests_elsewhere"]

_PATIENCE_S: Final = 300
_HASH_SEED: Final = "1234567"  # of the other process, so that the order of sets and of hashes differs there
_WORKERS: Final = 2
_WORKER_STEPS: Final = 200


def digest_of(subject: Subject) -> str:
    """SHA-256 of all observations, rewards, flags and infos of a rollout of `subject`."""
    env = subject.make()
    return digest(rollout(env, actions_for(env, subject.steps, subject.seed), subject.seed))


def digests_elsewhere(subjects: Sequence[Subject]) -> list[str]:
    """`digest_of` each subject, in one fresh process with another seed of Python's hashes.

    Raises:
        ContractError: the process failed; its error is in the message.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    known = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = _HASH_SEED
    try:
        child = context.Process(target=_send_digests, args=(list(subjects), sender))
        child.start()
    finally:
        if known is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = known
    sender.close()
    try:
        answer: Any = receiver.recv() if receiver.poll(_PATIENCE_S) else f"no answer in {_PATIENCE_S} s"
    except EOFError:
        answer = "it died without an answer"
    finally:
        child.join(1)
        if child.is_alive():
            child.kill()
            child.join()
        receiver.close()
    if isinstance(answer, str):
        raise ContractError(f"a fresh process cannot run the environment: {answer}")
    return list(answer)


def check_two_processes(subject: Subject) -> None:
    """This process and a fresh one give one SHA-256 of all observations, rewards and infos."""
    here, there = digest_of(subject), digests_elsewhere([subject])[0]
    if here != there:
        raise ContractError(f"seed {subject.seed} gives {here[:16]} here and {there[:16]} in a fresh process")


def check_subprocesses(subject: Subject) -> None:
    """SB3's `SubprocVecEnv`, started with spawn, steps as `DummyVecEnv` does in this process."""
    try:
        from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
    except ModuleNotFoundError:
        raise NotApplicableError("stable-baselines3 is not installed (pip install 'lobgym[train]')") from None
    makers = [partial(subject.make)] * _WORKERS
    here, there = DummyVecEnv(makers), SubprocVecEnv(makers, start_method="spawn")  # type: ignore[arg-type]
    try:
        for venv in (here, there):
            venv.seed(subject.seed)
        found = difference(here.reset(), there.reset(), "reset")
        here.action_space.seed(subject.seed)
        for step in range(min(subject.steps, _WORKER_STEPS)):
            actions = np.stack([here.action_space.sample() for _ in range(_WORKERS)])
            # DummyVecEnv returns rewards in single precision, SubprocVecEnv as they came.
            mine, theirs = (
                (observations, np.asarray(rewards, np.float32), dones, infos)
                for observations, rewards, dones, infos in (here.step(actions), there.step(actions))
            )
            found = found or difference(mine, theirs, f"step {step}: ")
            if found:
                raise ContractError(f"worker processes give something else: {found}")
    except (EOFError, ConnectionError) as error:
        raise ContractError(
            "a worker process died, its traceback is above: does all that it returns pickle?"
        ) from error
    finally:
        _close(there)
        here.close()


def _close(venv: Any) -> None:
    try:
        venv.close()
    except (EOFError, ConnectionError):
        for process in venv.processes:
            process.join()


def _send_digests(subjects: list[Subject], sender: Connection) -> None:
    try:
        sender.send([digest_of(subject) for subject in subjects])
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")
    finally:
        sender.close()
