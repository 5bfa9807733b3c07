"""`python -m lobgym.envs.testing ID [KEY=VALUE ...]`: the battery on one environment, as a table."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from lobgym.envs.testing.battery import CHECKS, examine
from lobgym.envs.testing.subject import Subject


def _pair(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def main(words: list[str] | None = None) -> int:
    """Print a line a check; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m lobgym.envs.testing", description=__doc__)
    parser.add_argument("env", metavar="ID", help="a registered id; 'package.module:id' imports the module first")
    parser.add_argument(
        "arguments", nargs="*", type=_pair, metavar="KEY=VALUE", help="for the environment; JSON or text"
    )
    parser.add_argument("--steps", type=int, default=Subject.steps, help="of a rollout (%(default)s)")
    parser.add_argument("--seed", type=int, default=Subject.seed, help="(%(default)s)")
    parser.add_argument("--check", action="append", choices=list(CHECKS), help="only these; repeatable")
    given = parser.parse_intermixed_args(words)
    subject = Subject(given.env, dict(given.arguments), steps=given.steps, seed=given.seed)
    failed = 0
    for one in examine(subject, given.check or CHECKS):
        failed += one.outcome == "failed"
        print(f"{one.outcome:8}{one.check:20}{one.seconds:7.1f} s  {one.message}".rstrip(), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
