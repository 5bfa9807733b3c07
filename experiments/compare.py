"""How alike two markets are, measure by measure. A is what B is compared with (docs/compare.md has the formulas)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lobgym.sim.measures import CATALOG, Curve, Distribution, Measures
from lobgym.sim.measures.types import finite

__all__ = ["compare", "curve_distance", "histogram_l1", "relative_difference", "unit_of", "wasserstein"]


def wasserstein(a: Distribution, b: Distribution) -> float:
    """Wasserstein-1 in the measure's unit: the area between the two distribution functions; NaN if one is empty."""
    if not len(a.values) or not len(b.values):
        return math.nan
    x = np.union1d(a.values, b.values)
    return float((np.abs(cumulative(a, x) - cumulative(b, x))[:-1] * np.diff(x)).sum())


def cumulative(one: Distribution, x: np.ndarray) -> np.ndarray:
    """float64[n]: share of the weight at or below each x."""
    total = np.concatenate(([0], np.cumsum(one.weights)))
    shares: np.ndarray = total[np.searchsorted(one.values, x, side="right")] / total[-1]
    return shares


def histogram_l1(a: Distribution, b: Distribution) -> float:
    """Sum over coarse bins of the difference of their shares, from 0 to 2; NaN if one is empty."""
    if not len(a.values) or not len(b.values):
        return math.nan
    size = int(max(a.coarse[-1], b.coarse[-1])) + 1
    shares = [np.bincount(one.coarse, one.weights, size) / one.weights.sum() for one in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum())


def relative_difference(a: float | None, b: float | None) -> float | None:
    """(b - a) / |a|; 0 of equal ones, None where one is missing or a is 0 and b is not."""
    if a is None or b is None:
        return None
    if a == b:
        return 0.0
    return finite((b - a) / abs(a)) if a else None


def curve_distance(a: Curve, b: Curve) -> tuple[float | None, int]:
    """Mean over points of |b - a| / sqrt(se_a^2 + se_b^2), and over how many.

    A point counts where both curves have a value there and either the values are equal or the standard errors exist
    and are not both 0. None of no points.
    """
    there = np.isfinite(a.y) & np.isfinite(b.y)
    joint = np.sqrt(a.se**2 + b.se**2)
    counts = there & ((a.y == b.y) | (np.isfinite(joint) & (joint > 0)))
    away = np.abs(b.y[counts] - a.y[counts])
    terms = np.divide(away, joint[counts], out=np.zeros_like(away), where=away > 0)
    return (float(terms.mean()) if len(terms) else None), len(terms)


def compare(a: Measures, b: Measures, names: tuple[str, str] = ("A", "B")) -> dict[str, Any]:
    """Both summaries and the distance of every measure, as plain data that JSON can hold.

    Returns:
        `a`, `b`: name and source of each; `measures`: by name `kind`, `unit`, `grid`, `a`, `b` and `distance`;
        `overall`: means of the distances, the ten levels of both sides as one measure.
    """
    measures: dict[str, Any] = {}
    for name, entry in CATALOG.items():
        one: dict[str, Any] = {"kind": entry.kind, "unit": entry.unit, "grid": entry.grid}
        if entry.kind == "scalar":
            of_a, of_b = a.scalars[name], b.scalars[name]
            one |= {"a": of_a, "b": of_b, "distance": {"relative": relative_difference(of_a, of_b)}}
        elif entry.kind == "distribution":
            one |= _distributions(a.distributions[name], b.distributions[name])
        else:
            one |= _curves(a.curves[name], b.curves[name])
        measures[name] = one
    sides = {key: {"name": name, **one.source()} for key, name, one in zip("ab", names, (a, b), strict=True)}
    return {**sides, "overall": _overall(measures), "measures": measures}


def unit_of(data: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """Unit of a measure for a reader: `base` is the currency that both sides have, if they have one."""
    bases = [str(data[key]["base"]) for key in "ab"]
    return bases[0] if one["unit"] == "base" and bases[0] == bases[1] else str(one["unit"])


def _distributions(a: Distribution, b: Distribution) -> dict[str, Any]:
    apart, scale = wasserstein(a, b), a.std
    per_std = 0.0 if apart == 0 else apart / scale if scale > 0 else math.nan
    return {
        "a": a.to_json(),
        "b": b.to_json(),
        "distance": {
            "wasserstein": finite(apart),
            "wasserstein_per_std": finite(per_std),
            "l1": finite(histogram_l1(a, b)),
        },
    }


def _curves(a: Curve, b: Curve) -> dict[str, Any]:
    apart, points = curve_distance(a, b)
    return {"a": a.to_json(), "b": b.to_json(), "distance": {"per_standard_error": apart, "points": points}}


def _overall(measures: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Means of what exists."""
    return {
        f"{key}_mean": _mean_by_family(measures, kind, key)
        for kind, key in (
            ("distribution", "l1"),
            ("distribution", "wasserstein_per_std"),
            ("curve", "per_standard_error"),
        )
    }


def _mean_by_family(measures: Mapping[str, Mapping[str, Any]], kind: str, key: str) -> float | None:
    families: dict[str, list[float]] = {}
    for name, one in measures.items():
        if one["kind"] == kind and one["distance"][key] is not None:
            families.setdefault("depth" if "_depth_" in name else name, []).append(one["distance"][key])
    return _mean([_mean(family) or 0.0 for family in families.values()])


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
