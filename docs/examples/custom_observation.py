"""A column of one's own: where the price stands between two round numbers, compiled, and called by address.

Orders gather at round prices, and no column of lobgym tells how far the next one is. Before it is used the column is
tried for causality, which every column has to be: what it says now must not hang on rows that come later. Then an agent
is trained on it; `--quick` to see that it runs.
"""

from __future__ import annotations

import sys

import numba
from stable_baselines3 import PPO

from lobgym.envs import RewardTerms
from lobgym.envs.sb3 import make_sb3_vec_env
from lobgym.sim import check_causal, register_column
from lobgym.sim import strategy as lob
from lobgym.sim.observation import MAKER_COLUMNS

STEPS = 100_000
ROUND = 1_000  # ticks between two round prices


@numba.njit
def round_price(w, lane):
    """-1 just above a round price, nearly 1 just below the next one, 0 without a book."""
    book, cursor = lob.local_of(w), lob.local_cursor(w, lane)
    bid, ask = lob.best_bid(book, cursor), lob.best_ask(book, cursor)
    if bid == lob.NO_BID or ask == lob.NO_ASK:
        return 0.0
    return ((bid + ask) % (2 * ROUND)) / ROUND - 1.0


register_column(
    "round_price",
    unit="1",
    scale=0.0,  # bounded as it is
    function=round_price,
    about="place of the mid between two round prices",
)


def main(steps: int) -> None:
    """Try the column for causality, train on it, show it."""
    check_causal(["round_price"], steps=50)
    columns = (*MAKER_COLUMNS, "round_price")
    env = make_sb3_vec_env(
        "lobgym/MarketMaking-v0", 32, seed=0, split="train", horizon=240, observation=columns,
        reward=RewardTerms(scale=0.1),
    )  # fmt: skip
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=1024, n_epochs=4, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(steps)
    seen = env.reset()[:, columns.index("round_price")]
    print(f"{len(columns)} columns, layout {env.core.spec.layout.hash[:12]}")
    print(f"round_price at the starts of {len(seen)} episodes: from {seen.min():.2f} to {seen.max():.2f}")


if __name__ == "__main__":
    main(4_096 if "--quick" in sys.argv else STEPS)
