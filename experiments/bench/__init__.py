"""Benchmarks: each prints one JSON object a line, or a table. Never part of the tests' verdict."""

from lobgym.experiments.bench.report import BENCHES, BenchRow, run_bench

__all__ = ["BENCHES", "BenchRow", "run_bench"]
