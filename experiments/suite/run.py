"""Run a suite: make the markets ready, gather who takes part, compute the cells that are missing, rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from lobgym.agents.jobs import run_jobs, task_key
from lobgym.agents.trials import count_trials, ledger_of, record_trial
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.study import TEST_FRACTION
from lobgym.experiments.files import write_text
from lobgym.experiments.suite.board import SuiteBoard, SuiteEntry
from lobgym.experiments.suite.cells import CELLS, MARKETS, cell_digest, run_cell
from lobgym.experiments.suite.plan import SuitePlan, prepare_market, source_sha256
from lobgym.experiments.suite.players import Player, baseline_players, bundle_player, keep_bundle, run_players
from lobgym.sim.instrument import Instrument

__all__ = ["Workers", "board_again", "entry_of", "prepared_markets", "run_suite"]

SUBMISSIONS: Final = "submissions"
ENTRANTS_FILE: Final = "entrants.json"
TRIAL: Final = "leaderboard"


@dataclass(frozen=True)
class Entrants:
    """Who took part, what was handed in aside, and the command that said so."""

    players: list[Player]
    command: str


@dataclass(frozen=True)
class Workers:
    """How cells are computed: see `lobgym.agents.jobs.run_jobs`. `progress` takes (what, done, total)."""

    count: int = 0
    backend: Literal["loky", "ray", "serial"] = "loky"
    progress: Callable[[str, int, int], None] | None = None

    def run(self, what: str, function: Any, tasks: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
        """The tasks' results."""

        def tell(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(what, done, total)

        return run_jobs(function, tasks, folder, workers=self.count, backend=self.backend, progress=tell)


def run_suite(
    plan: SuitePlan,
    root: Path,
    *,
    runs: Sequence[Path] = (),
    bundles: Sequence[Path] = (),
    only: Sequence[str] = (),
    command: str = "",
    commit: str | None = None,
    workers: Workers | None = None,
) -> SuiteBoard:
    """Every policy written by hand, what was trained, and what was handed in before, on every market of the plan.

    Killed and started again with the same arguments, it computes what is missing and ends with the same bytes.

    Args:
        root: the suite's folder.
        only: labels as `natr-grid@grid`; nothing else takes part then.

    Raises:
        EvaluationError: a plan that compares nothing, a label that nobody has, a run that may have seen a test part.
        BundleError: a bundle that is not sound; JobError: cells that cannot be computed.
    """
    workers = workers or Workers()
    root.mkdir(parents=True, exist_ok=True)
    markets = prepared_markets(plan, root, workers)
    trained, configs = run_players(runs, root, plan.seeds)
    _check_cuts(configs, markets)
    players = [*baseline_players(), *trained]
    for folder in bundles:
        players.append(bundle_player(keep_bundle(folder, root), "trained", ("--bundle", str(folder))))
    chosen = _chosen(_distinct([*players, *submitted_players(root)]), only)
    plan.save(root)
    _save_entrants(Entrants([player for player in chosen if player.kind != "submitted"], command), root)
    return _board(chosen, markets, plan, root, command, commit, workers)


def board_again(root: Path, commit: str | None = None, workers: Workers | None = None) -> SuiteBoard:
    """The board of a suite's folder with the same policies as before, and everything that was handed in since.

    Raises:
        EvaluationError: there is no suite.
    """
    workers = workers or Workers()
    plan = SuitePlan.load(root)
    try:
        before = msgspec.json.decode((root / ENTRANTS_FILE).read_bytes(), type=Entrants)
    except (OSError, msgspec.MsgspecError) as error:
        raise EvaluationError(f"{root} does not say who took part ({error}): run the suite again") from error
    players = _distinct([*before.players, *submitted_players(root)])
    markets = prepared_markets(plan, root, workers)
    return _board(players, markets, plan, root, before.command, commit, workers)


def _board(
    players: Sequence[Player],
    markets: Sequence[dict[str, Any]],
    plan: SuitePlan,
    root: Path,
    command: str,
    commit: str | None,
    workers: Workers,
) -> SuiteBoard:
    entries = compute(players, markets, plan, root, workers)
    _note_trials(entries, markets, root)
    return SuiteBoard(plan, tuple(markets), tuple(entries), command, commit, count_trials(ledger_of(root)))


def _save_entrants(entrants: Entrants, root: Path) -> None:
    write_text(root / ENTRANTS_FILE, msgspec.json.format(msgspec.json.encode(entrants), indent=2).decode() + "\n")


def prepared_markets(plan: SuitePlan, root: Path, workers: Workers) -> list[dict[str, Any]]:
    """What `prepare_market` gives for each tape of the plan, with its key."""
    tasks = plan.market_tasks()
    found = workers.run("markets", prepare_market, tasks, root / MARKETS)
    markets = [{"key": task_key(prepare_market, task), **one} for task, one in zip(tasks, found, strict=True)]
    by_digest: dict[str, str] = {}
    for one in markets:
        other = by_digest.setdefault(one["tape_digest"], one["name"])
        if other != one["name"]:
            raise EvaluationError(f"{other} and {one['name']} are the same tape: give one of them")
    return markets


def compute(
    players: Sequence[Player], markets: Sequence[dict[str, Any]], plan: SuitePlan, root: Path, workers: Workers
) -> list[SuiteEntry]:
    """Every player on every market whose instrument is its own, those of one market together."""
    places, tasks = [], []
    for index, market in enumerate(markets):
        instrument = Instrument.from_json(market["instrument"])
        for number, player in enumerate(players):
            if player.fits(instrument):
                places.append((number, index))
                tasks.append(_task(player, market, plan))
    results = workers.run("cells", run_cell, tasks, root / CELLS)
    entries = [SuiteEntry(player, {}, {}) for player in players]
    for (number, index), result in zip(places, results, strict=True):
        if "skipped" in result:
            entries[number].skipped[index] = result["skipped"]
            continue
        if result["digest"] != cell_digest(result):
            raise EvaluationError(f"a cell of {players[number].label} was edited by hand: delete {root / CELLS}")
        entries[number].cells[index] = result
    return [entry for entry in entries if entry.cells]


def entry_of(
    player: Player, markets: Sequence[dict[str, Any]], plan: SuitePlan, root: Path, workers: Workers
) -> SuiteEntry:
    """One player's cells.

    Raises:
        EvaluationError: none of the markets has its instrument.
    """
    entries = compute([player], markets, plan, root, workers)
    if not entries:
        raise EvaluationError(f"{player.label} trades an instrument that none of the {len(markets)} markets has")
    return entries[0]


def submitted_players(root: Path) -> list[Player]:
    """What was handed in and accepted before, in the order of its hashes."""
    files = sorted((root / SUBMISSIONS).glob("*.json"))
    return [msgspec.json.decode(msgspec.json.encode(_read(file)["player"]), type=Player) for file in files]


def _read(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise EvaluationError(f"{file} is damaged ({error}): delete it and hand the bundle in again") from error


def _task(player: Player, market: dict[str, Any], plan: SuitePlan) -> dict[str, Any]:
    names = ("key", "name", "tape_digest", "interval_ns", "episode_ns", "embargo_ns", "worth_units", "train_span_ns")
    return {
        "market": {name: market[name] for name in names},
        "player": player.to_task(),
        "seeds": plan.seeds,
        "episodes": plan.episodes,
        "source": source_sha256(),
    }


def _distinct(players: Sequence[Player]) -> list[Player]:
    """No two of one label: nothing handed in may stand on the board under another one's name."""
    found: dict[str, Player] = {}
    for player in players:
        if player.label in found and found[player.label].digests == player.digests:
            continue  # the same again, as when what was handed in is also given by hand
        name = player.name
        if player.label in found:
            name = f"{player.name}-{player.digests[0][:8] if player.digests else len(found)}"
        made = replace(player, name=name)
        if made.label in found:
            raise EvaluationError(f"two policies are called {made.label}: name one of them otherwise")
        found[made.label] = made
    return list(found.values())


def _chosen(players: Sequence[Player], only: Sequence[str]) -> list[Player]:
    labels = [player.label for player in players]
    unknown = sorted(set(only) - set(labels))
    if unknown:
        raise EvaluationError(f"nobody is called {unknown[0]!r}; there are {', '.join(labels)}")
    return [player for player in players if not only or player.label in only]


def _check_cuts(configs: dict[str, Any], markets: Sequence[dict[str, Any]]) -> None:
    """A run that was trained on a market's tape, cut otherwise, may have seen its test part."""
    by_digest = {market["tape_digest"]: market for market in markets}
    for label, runs in configs.items():
        for digest, config in runs:
            market = by_digest.get(digest)
            if market is None:
                continue
            if config.test_fraction < TEST_FRACTION or config.embargo_ns < market["embargo_ns"]:
                raise EvaluationError(
                    f"{label} was trained on {market['name']}, cut otherwise: it may have seen the test part. It left "
                    f"{config.test_fraction:.0%} of the tape and {config.embargo_ns / 1e9:g} s before that unseen, "
                    f"{TEST_FRACTION:.0%} and {market['embargo_ns'] / 1e9:g} s are judged here: leave it out, train it "
                    "on another tape, or cut that one so"
                )


def _note_trials(entries: Sequence[SuiteEntry], markets: Sequence[dict[str, Any]], root: Path) -> None:
    """What was trained was tried, and could have been chosen for how it does here; submissions count themselves."""
    for entry in entries:
        if entry.player.kind != "trained":
            continue
        for index, cell in entry.cells.items():
            scores = cell["score_bps"]
            record_trial(
                root,
                TRIAL,
                markets[index]["tape_digest"],
                entry.player.env,
                entry.player.digests[0],
                sum(scores) / len(scores),
            )
