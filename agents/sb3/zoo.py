"""A run folder under the names of RL Baselines3 Zoo, so that its commands read what was trained here.

`runs/<algo>/<env>_<n>/` holds `<env>.zip` and `<env>/config.yml`, `args.yml`, `command.txt`; rl_zoo3 reads
`best_model.zip`, `evaluations.npz` and `rl_model_<steps>_steps.zip` beside them as well. For example

    python -m rl_zoo3.enjoy --algo ppo --env lobgym/Grid-v0 --gym-packages lobgym.envs -f runs --no-render
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from lobgym.agents.files import write_bytes
from lobgym.agents.sb3.config import TrainConfig

__all__ = ["ledger_folder", "next_folder", "write_zoo_model", "write_zoo_settings", "zoo_name"]


def zoo_name(config: TrainConfig) -> str:
    """The environment's id as rl_zoo3 names files after it."""
    return config.env_id.replace("/", "-")


def next_folder(root: Path, config: TrainConfig) -> Path:
    """`root/<algo>/<env>_<n>` with the first n that is free, as rl_zoo3 counts them."""
    parent, name = root / config.algo, zoo_name(config)
    taken = [one.name.rpartition("_")[2] for one in parent.glob(f"{name}_*")]
    return parent / f"{name}_{1 + max((int(n) for n in taken if n.isdecimal()), default=0)}"


def ledger_folder(folder: Path, config: TrainConfig) -> Path:
    """The folder beside which a run's trials are counted: in rl_zoo3's layout that of all algorithms together."""
    return folder.parent if folder.absolute().parent.name == config.algo else folder


def write_zoo_settings(folder: Path, config: TrainConfig, command: str = "") -> None:
    """`config.yml` (settings), `args.yml` (what the environment is made with) and `command.txt`."""
    home = folder / zoo_name(config)
    home.mkdir(parents=True, exist_ok=True)
    plain = config.to_json()
    settings: dict[str, Any] = {
        "env_wrapper": None,
        "gamma": config.gamma,
        "n_envs": config.num_envs,
        "n_timesteps": config.total_steps,
        "normalize": False,
        "policy": "MlpLstmPolicy" if config.algo == "ppo_lstm" else "MlpPolicy",
        "policy_kwargs": {"net_arch": list(config.hidden)},
        **plain[config.algo],
    }
    arguments = {
        "algo": config.algo,
        "env": config.env_id,
        "env_kwargs": _env_kwargs(config, plain),
        "eval_episodes": config.validation_episodes,
        "eval_freq": config.validate_every,
        "gym_packages": ["lobgym.envs"],
        "n_timesteps": config.total_steps,
        "save_freq": config.checkpoint_every,
        "seed": config.seed,
    }
    write_bytes(home / "config.yml", yaml.safe_dump(settings).encode())
    write_bytes(home / "args.yml", yaml.safe_dump(arguments).encode())
    write_bytes(home / "command.txt", command.encode())


def write_zoo_model(folder: Path, config: TrainConfig, archive: Path) -> None:
    """The last model once more, under the name that rl_zoo3 looks for."""
    target = folder / f"{zoo_name(config)}.zip"
    aside = target.with_name(f"aside-{target.name}")
    shutil.copyfile(archive, aside)
    aside.replace(target)


def _env_kwargs(config: TrainConfig, plain: dict[str, Any]) -> dict[str, Any]:
    """Keywords of the scalar environment; the venue and the reward are no plain data and stay their defaults there."""
    made = {
        "tape": config.tape,
        "horizon": config.horizon,
        "split": "train",
        "test_fraction": config.test_fraction,
        "embargo_ns": config.embargo_ns,
        **config.env_kwargs,
    }
    if config.desk:
        made["spec"] = plain["desk"]
    if config.env == "router":
        made |= plain["router"]
    return made
