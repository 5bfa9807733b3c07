"""How good are the queue models? Real orders with known fates as probes, replayed under each model.

Orders of a recording (`fate`), or of an exchange (`exchange_run`, `exchange_fate`, `exchange_study`).
"""

from __future__ import annotations

from lobgym.experiments.queue_score.fate import read_bitstamp_orders
from lobgym.experiments.queue_score.hidden import HiddenMarkets
from lobgym.experiments.queue_score.play import MODELS, Model, Played, play
from lobgym.experiments.queue_score.probes import CANCELLED, FILLED, OPEN, Probe, ProbeError, Recorded
from lobgym.experiments.queue_score.score import score

__all__ = [
    "CANCELLED",
    "FILLED",
    "MODELS",
    "OPEN",
    "HiddenMarkets",
    "Model",
    "Played",
    "Probe",
    "ProbeError",
    "Recorded",
    "play",
    "read_bitstamp_orders",
    "score",
]
