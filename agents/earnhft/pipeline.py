"""EarnHFT from a config to a hierarchy: the three stages, each left in the run folder as it is done.

    result = train_earnhft(EarnHftConfig.profile_of("quick", tape="synth:volatile", seed=1, out="runs/earn"))

    config.json, spec.json        what was asked for, and the desk with everything that the hierarchy reads
    low/beta_*/agent_*.npz        stage I: every checkpoint
    segments.json, scores.npz     stage II: validation segments, and what every agent earned in them
    pool/                         stage II: the agents that hold a cell
    router.json, router.npz       stage III: every candidate's result, and the one that was taken
    run.json                      digests, seed, counts (EarnHftRecord)
    logs/                         CSV and TensorBoard's events; seconds.json

A run that was killed is called again with the same config and goes on; it ends in the same bytes as one that was not.
What a stage has finished is there under its final name, and only then. Logs and clock times are no part of that.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from lobgym.agents.earnhft.config import EarnHftConfig
from lobgym.agents.earnhft.features import choose_features
from lobgym.agents.earnhft.network import QWeights
from lobgym.agents.earnhft.parts import Parts, limit_bps_units
from lobgym.agents.earnhft.router import train_router
from lobgym.agents.earnhft.segments import Segment, find_segments
from lobgym.agents.earnhft.tournament import AgentPool, Scores, choose_pool, play_segments, together, warm_steps
from lobgym.agents.errors import ModelHashError, RunFolderError
from lobgym.agents.files import CONFIG_FILE, LOG_FOLDER, RECORD_FILE, ROUTER_FILE, SPEC_FILE, write_json
from lobgym.agents.jobs import run_jobs
from lobgym.agents.trials import record_trial, sharpe_ratio
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

__all__ = ["EarnHftRecord", "EarnHftResult", "load_earnhft", "train_earnhft"]

SEGMENTS_FILE: Final = "segments.json"
SCORES_FILE: Final = "scores.npz"
CHOICE_FILE: Final = "router.json"
LOW_FOLDER: Final = "low"
LOW_RECORD: Final = "low.json"
POOL_FOLDER: Final = "pool"
JOBS_FOLDER: Final = "jobs"
_ENV: Final = "target"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EarnHftRecord:
    """What a run states about its result; equal configs on equal tapes give equal bytes.

    Attributes:
        config_digest, tape_digest, spec_digest, params_digest: of what it was made from.
        seed: of the config.
        agents: digests of all checkpoints, by preference and sample.
        pool: digests of those that hold a cell. router: digest of the one that was taken.
        counts: what was done, by name: agents, validation_steps, router_transitions, ...
        commit: as it was given.
    """

    config_digest: str
    tape_digest: str
    spec_digest: str
    params_digest: str
    seed: int
    agents: tuple[str, ...]
    pool: tuple[str, ...]
    router: str
    counts: dict[str, int]
    commit: str | None = None


@dataclass(frozen=True)
class EarnHftResult:
    """A finished run.

    Attributes:
        spec: the desk with everything that the hierarchy reads.
        counts: see `EarnHftRecord`.
    """

    folder: Path
    config: EarnHftConfig
    spec: DeskSpec
    pool: AgentPool
    router: QWeights
    record: EarnHftRecord

    @property
    def counts(self) -> dict[str, int]:
        """What was done, by name."""
        return self.record.counts

    @property
    def hierarchy(self) -> Any:
        """Router and agents as one `lobgym.agents.policy.Policy` of the desk `spec`; a fresh one each time."""
        from lobgym.agents.earnhft.hierarchy import HierarchyPolicy

        return HierarchyPolicy(self.pool, self.router, self.spec, self.config.macro_steps, "earnhft")


def train_earnhft(
    config: EarnHftConfig, progress: Progress | None = None, commit: str | None = None, market: Market | None = None
) -> EarnHftResult:
    """Run the three stages, or what is left of them, and write the run folder.

    Args:
        config: what to train, and where to leave it.
        progress: called with (stage "low", "tournament" or "router", done, total).
        commit: recorded as it is.
        market: the compiled tape, if it is there already; it must be the one of `config.tape`.

    Raises:
        RunFolderError: `config.out` holds something else, or a run of another config or tape.
        TrainError: what a stage raises; JobError: a task of it that failed.
    """
    folder = Path(config.out)
    market = _market(config.tape) if market is None else market
    config = choose_features(config, market)
    spec, parts = config.spec(market), Parts.of(market, config)  # before anything is written: they may refuse
    _claim(folder, config)
    _OPENED[config.tape] = market
    _same_or_new(folder / SPEC_FILE, spec.to_json())
    tell = progress or _nobody
    with _timed(folder, "low"):
        paths = _low_stage(config, market, parts, folder, tell)
    with _timed(folder, "tournament"):
        pool = _pool_stage(config, market, parts, folder, paths, tell)
    with _timed(folder, "router"):
        router = _router_stage(config, market, parts, pool, folder, tell)
    record = _record(config, market, spec, folder, paths, pool, router, commit)
    write_json(folder / RECORD_FILE, record)
    return EarnHftResult(folder, config, spec, pool, router, record)


def load_earnhft(folder: str | Path) -> EarnHftResult:
    """A finished run from its folder.

    Raises:
        RunFolderError: a file is missing or malformed. ModelHashError: one is not what the run wrote.
    """
    root = Path(folder)
    try:
        config = EarnHftConfig.from_json(_read(root / CONFIG_FILE))
        spec = DeskSpec.from_json(_read(root / SPEC_FILE))
        record = msgspec.convert(_read(root / RECORD_FILE), EarnHftRecord)
    except (msgspec.ValidationError, ParamsError) as error:
        raise RunFolderError(f"{root} is not a run folder of this version: {error}") from error
    pool, router = AgentPool.load(root / POOL_FOLDER), QWeights.load(root / ROUTER_FILE)
    found = (config.digest, spec.digest, tuple(agent.digest for agent in pool.agents), router.digest)
    wanted = (record.config_digest, record.spec_digest, record.pool, record.router)
    if found != wanted:
        raise ModelHashError(f"{root} does not hold what its run wrote, {wanted}, but {found}: do not use it")
    return EarnHftResult(root, config.replace(out=str(root)), spec, pool, router, record)


# -- stage I -----------------------------------------------------------------------------------------------------------


def _low_stage(config: EarnHftConfig, market: Market, parts: Parts, folder: Path, tell: Progress) -> list[Path]:
    """Paths of all checkpoints, by preference and sample."""
    betas = config.low.betas
    tasks = [{"config": config.to_json(), "beta": beta, "folder": str(_beta_folder(folder, beta))} for beta in betas]
    finished = all((_beta_folder(folder, beta) / LOW_RECORD).exists() for beta in betas)
    if config.workers == 1 or finished:
        found = []
        for number, task in enumerate(tasks):

            def part(done: int, total: int, before: int = number) -> None:
                tell("low", before * total + done, len(tasks) * total)

            found.append(low_task(task, folder, part))
    else:
        found = run_jobs(
            low_task, tasks, folder / JOBS_FOLDER, workers=config.workers,
            progress=lambda done, total: tell("low", done, total),
        )  # fmt: skip
    return [folder / LOW_FOLDER / name for one in found for name in one["agents"]]


def low_task(task: dict[str, Any], aside: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """One preference of stage I, as `lobgym.agents.jobs` calls it; it goes on where it was killed."""
    from lobgym.agents.earnhft.low import train_low

    config = EarnHftConfig.from_json(task["config"])
    folder = Path(task["folder"])
    market = _market(config.tape)
    paths = train_low(config, market, Parts.of(market, config), float(task["beta"]), folder, progress)
    return {"agents": [f"{folder.name}/{path.name}" for path in paths]}


def _beta_folder(folder: Path, beta: float) -> Path:
    return folder / LOW_FOLDER / f"beta_{beta:g}"


# -- stage II ----------------------------------------------------------------------------------------------------------


def _pool_stage(
    config: EarnHftConfig, market: Market, parts: Parts, folder: Path, paths: list[Path], tell: Progress
) -> AgentPool:
    if (folder / POOL_FOLDER / "pool.json").exists():
        return AgentPool.load(folder / POOL_FOLDER)
    agents = [QWeights.load(path) for path in paths]
    spec = config.low_spec(market)
    segments = _walked(find_segments(market, parts.validation, config.tournament), config)
    write_json(folder / SEGMENTS_FILE, [one.to_json() for one in segments])
    size = together(config.tournament.lanes, len(spec.targets))
    tasks = [
        {
            "config": config.to_json(),
            "segments": [one.to_json() for one in segments],
            "agents": [str(path) for path in paths[at : at + size]],
            "digests": [agent.digest for agent in agents[at : at + size]],
        }
        for at in range(0, len(paths), size)
    ]
    found = run_jobs(
        tournament_task, tasks, folder / JOBS_FOLDER, workers=config.workers,
        progress=lambda done, total: tell("tournament", done, total),
    )  # fmt: skip
    pnl = np.concatenate([np.array(one["pnl"], np.int64) for one in found])
    scores = Scores(pnl, np.array(found[0]["steps"], np.int64), np.array([one.label for one in segments], np.int64))
    _save_scores(folder / SCORES_FILE, scores)
    settings = config.tournament
    pool = choose_pool(
        agents, scores, settings.labels, settings.shrink, config.corrections.rounded_position, settings.general
    )  # fmt: skip
    _record_agents(config, market, parts, folder, agents, scores)
    pool.save(folder / POOL_FOLDER)
    shutil.rmtree(folder / JOBS_FOLDER, ignore_errors=True)
    return pool


def tournament_task(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """A group of agents in every segment, as `lobgym.agents.jobs` calls it."""
    config = EarnHftConfig.from_json(task["config"])
    market = _market(config.tape)
    segments = [msgspec.convert(one, Segment) for one in task["segments"]]
    agents = [QWeights.load(path) for path in task["agents"]]
    scores = play_segments(market, config.low_spec(market), agents, segments, config.seed, config.tournament.lanes)
    return {"pnl": scores.pnl.tolist(), "steps": scores.steps.tolist()}


def _walked(segments: tuple[Segment, ...], config: EarnHftConfig) -> tuple[Segment, ...]:
    """The segments in their order, of each label no more than are to be walked, the longest."""
    most = config.tournament.evaluations_max
    kept: set[int] = set()
    for label in range(config.tournament.labels):
        own = [k for k, one in enumerate(segments) if one.label == label]
        kept.update(sorted(own, key=lambda k: segments[k].low_ns - segments[k].high_ns)[:most])
    return tuple(one for k, one in enumerate(segments) if k in kept)


def _save_scores(path: Path, scores: Scores) -> None:
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        np.savez(file, pnl=scores.pnl, steps=scores.steps, labels=scores.labels)
    os.replace(aside, path)


def _record_agents(
    config: EarnHftConfig, market: Market, parts: Parts, folder: Path, agents: list[QWeights], scores: Scores
) -> None:
    """Every checkpoint into the ledger of trials, with what it earned per step in bps of the position limit's value.

    A return of its Sharpe ratio is what it earned per step in a segment, from all start positions together.
    """
    unit = limit_bps_units(market, config.spec(market), parts)
    steps = max(1, int(scores.steps.sum()) * scores.pnl.shape[1])
    for agent, pnl in zip(agents, scores.pnl, strict=True):
        sharpe = sharpe_ratio((pnl.sum(axis=0) / np.maximum(1, scores.steps)).tolist())
        score = int(pnl.sum()) / unit / steps
        record_trial(folder, "checkpoint", market.tape.digest, _ENV, agent.digest, score, sharpe=sharpe)


# -- stage III ---------------------------------------------------------------------------------------------------------


def _router_stage(
    config: EarnHftConfig, market: Market, parts: Parts, pool: AgentPool, folder: Path, tell: Progress
) -> QWeights:
    if (folder / ROUTER_FILE).exists():
        return QWeights.load(folder / ROUTER_FILE)
    router = train_router(config, market, parts, pool, folder, lambda done, total: tell("router", done, total))
    judged = _read(folder / CHOICE_FILE)
    for digest, bps, sharpe in zip(judged["digests"], judged["bps"], judged["sharpes"], strict=True):
        record_trial(folder, "checkpoint", market.tape.digest, "router", digest, bps, sharpe=sharpe)
    router.save(folder / ROUTER_FILE)
    return router


# -- the folder --------------------------------------------------------------------------------------------------------

_OPENED: dict[str, Market] = {}  # the tape that this process works on


def _market(tape: str) -> Market:
    if tape not in _OPENED:
        _OPENED.clear()
        _OPENED[tape] = Market.compile(open_tape(tape))
    return _OPENED[tape]


def _claim(folder: Path, config: EarnHftConfig) -> None:
    """Make the folder this run's, or find that it is."""
    if (folder / CONFIG_FILE).exists():
        begun = EarnHftConfig.from_json(_read(folder / CONFIG_FILE))
        if begun.digest != config.digest:
            raise RunFolderError(f"{folder} holds a run of another config, {begun.digest}: choose another out folder")
        return
    if folder.exists() and any(path.name != f"{CONFIG_FILE}.part" for path in folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty and no EarnHFT run: choose another out folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, config.to_json())


def _same_or_new(path: Path, data: dict[str, Any]) -> None:
    if path.exists() and _read(path) != msgspec.json.decode(msgspec.json.encode(data)):
        raise RunFolderError(
            f"{path} is of another desk: the tape has changed since the run began; choose another folder"
        )
    if not path.exists():
        write_json(path, data)


def _record(
    config: EarnHftConfig, market: Market, spec: DeskSpec, folder: Path, paths: list[Path], pool: AgentPool,
    router: QWeights, commit: str | None,
) -> EarnHftRecord:  # fmt: skip
    agents = [QWeights.load(path).digest for path in paths]
    with np.load(folder / SCORES_FILE) as scores:
        steps, shape = int(scores["steps"].sum()), scores["pnl"].shape
    judged = _read(folder / CHOICE_FILE)
    counts = {
        "agents": len(agents),
        "segments": shape[2],
        "validation_steps": shape[0] * shape[1] * steps,
        "warm_steps": shape[0] * shape[1] * shape[2] * warm_steps(spec),
        "pool_agents": len(pool.agents),
        "router_transitions": judged["transitions"],
        "router_updates": judged["updates"],
        "router_steps": judged["steps"],
        "router_judged_steps": judged["judged_steps"],
    }
    for beta in config.low.betas:
        stage = _read(_beta_folder(folder, beta) / LOW_RECORD)
        for name in ("taught", "own", "updates"):
            counts[f"low_{name}"] = counts.get(f"low_{name}", 0) + int(stage[name])
    return EarnHftRecord(
        config.digest, market.tape.digest, spec.digest, spec.params.digest, config.seed, tuple(agents),
        tuple(agent.digest for agent in pool.agents), router.digest, counts, commit,
    )  # fmt: skip


@contextmanager
def _timed(folder: Path, stage: str) -> Iterator[None]:
    """Write how long a stage took into logs/seconds.json; of a resumed one what was left of it."""
    began = time.perf_counter()
    yield
    path = folder / LOG_FOLDER / "seconds.json"
    path.parent.mkdir(exist_ok=True)
    seconds = _read(path) if path.exists() else {}
    write_json(path, seconds | {stage: round(time.perf_counter() - began, 3)})


def _read(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} is missing: not a finished run folder") from error
    except msgspec.DecodeError as error:
        raise RunFolderError(f"{path} is not valid JSON: {error}") from error


def _nobody(stage: str, done: int, total: int) -> None:
    """Nobody watches."""
