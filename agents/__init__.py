"""Policies: written by hand, trained with stable-baselines3, exported to ONNX and proven equal to what was trained.

What needs torch is imported when it is first asked for, so that baselines cost nothing. Training itself is
`lobgym.agents.sb3.train.train`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lobgym.agents.baselines import available_baselines, make_baseline, make_suite
    from lobgym.agents.jobs import run_jobs
    from lobgym.agents.onnx.export import export_policy
    from lobgym.agents.onnx.mirrors import export_rule
    from lobgym.agents.onnx.parity import OnnxPolicy, check_parity
    from lobgym.agents.policy import ModelPolicy, Policy
    from lobgym.agents.sb3.config import TrainConfig
    from lobgym.agents.sb3.rollout import collect_observations
    from lobgym.agents.sb3.runs import load_run

__all__ = [
    "ModelPolicy",
    "OnnxPolicy",
    "Policy",
    "TrainConfig",
    "available_baselines",
    "check_parity",
    "collect_observations",
    "export_policy",
    "export_rule",
    "load_run",
    "make_baseline",
    "make_suite",
    "run_jobs",
]

_HOMES: Final = {
    "ModelPolicy": "policy",
    "OnnxPolicy": "onnx.parity",
    "Policy": "policy",
    "TrainConfig": "sb3.config",
    "available_baselines": "baselines",
    "check_parity": "onnx.parity",
    "collect_observations": "sb3.rollout",
    "export_policy": "onnx.export",
    "export_rule": "onnx.mirrors",
    "load_run": "sb3.runs",
    "make_baseline": "baselines",
    "make_suite": "baselines",
    "run_jobs": "jobs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lobgym.agents.{_HOMES[name]}"), name)
