"""`lobgym offline`: episodes of a policy as a Minari data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lobgym.experiments.cli.console import JsonFlag, TapeOption, console, print_json, progress_bar, working

if TYPE_CHECKING:
    from lobgym.envs.offline import Actor

__all__ = ["add_to"]


def offline(
    dataset: Annotated[str, typer.Argument(help="The data set's name, as lobgym/grid/static-v0.")],
    env: Annotated[str, typer.Option("--env", help="The environment's id.")] = "lobgym/Grid-v0",
    policy: Annotated[str, typer.Option("--policy", help="A fixed policy by name, or a run folder.")] = "random",
    tape: TapeOption = "synth:volatile",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes; they have the seeds SEED, SEED + 1, ...")] = 10,
    horizon: Annotated[int, typer.Option(min=1, help="Steps of an episode.")] = 600,
    split: Annotated[str, typer.Option(help="Part of the tape: all, train or test.")] = "train",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    author: Annotated[str, typer.Option(help="Kept in the data set.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of data sets; $MINARI_DATASETS_PATH by default.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Play episodes and keep them as a Minari data set, for tools that learn offline.

    Load it with `minari.load_dataset`, with MINARI_DATASETS_PATH set to the folder. The policies that are known by
    name are those of the leaderboard.
    """
    from lobgym.envs.offline import export_minari

    arguments: dict[str, Any] = {"tape": tape, "horizon": horizon, "split": split}
    with working("compiling the market"):
        acting = _policy(env, policy, arguments)
    with progress_bar("episodes", as_json) as progress:
        done = export_minari(
            env, acting, episodes, dataset, out, seed=seed, author=author, progress=progress, **arguments
        )
    mean = sum(done.returns) / len(done.returns)
    data = {
        "dataset": done.dataset_id,
        "root": str(done.root),
        "episodes": done.episodes,
        "steps": done.steps,
        "mean_return": mean,
    }
    if as_json:
        print_json(data)
        return
    console.print(
        f"{done.episodes} episodes, {done.steps:,} steps, mean return {mean:,.4f}: {done.root / done.dataset_id}",
        highlight=False,
    )


def _policy(env_id: str, name: str, arguments: dict[str, Any]) -> Actor:
    """A policy by name, at the desk that the environment has; or what was trained into a run folder."""
    import gymnasium

    import lobgym.envs  # noqa: F401 - registers the ids
    from lobgym.agents.baselines import make_baseline
    from lobgym.experiments.errors import EvaluationError
    from lobgym.experiments.evaluation.leaderboard import trained_entry

    known = sorted(name for name in gymnasium.registry if name.startswith("lobgym/"))
    if env_id not in known:
        raise EvaluationError(f"unknown environment {env_id!r}; known: {', '.join(known)}")
    if Path(name).is_dir():
        entry = trained_entry([name])
        arguments["spec"] = {"interval_ns": entry.spec.interval_ns}
        core = _core(env_id, arguments)
        if core.spec.digest != entry.spec.digest:
            raise EvaluationError(
                f"{name} was trained at another desk than {env_id} has on this tape: give the tape that it was "
                "trained on, or export with lobgym.envs.offline.export_minari and the run's spec"
            )
        return entry.policies[0]
    core = _core(env_id, arguments)
    return make_baseline(name, core.spec, core.desk.mid2() / 2)


def _core(env_id: str, arguments: dict[str, Any]) -> Any:
    import gymnasium

    from lobgym.envs import LobEnv
    from lobgym.experiments.errors import EvaluationError

    env = gymnasium.make(env_id, **arguments)
    if not isinstance(env.unwrapped, LobEnv):
        raise EvaluationError(f"{env_id} has no desk of its own: export with lobgym.envs.offline.export_minari")
    return env.unwrapped.core


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(offline)
