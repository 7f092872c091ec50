"""The configuration agent: which strategy, with which parameters, for this question, these candidates, this budget.

After the agent of CORAG/CARROT (arXiv 2411.00744): a small network over features of question and candidates, with a
head that classifies the strategy and one that regresses its parameters, trained offline by
`ramet.engine.rag.training`. Here it needs nothing but NumPy: its weights are 100 KB in ``agent.npz`` beside this file,
and one answer takes less than a millisecond.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.features import NAMES, features
from ramet.engine.rag.pool import Pool

F32 = npt.NDArray[np.float32]

SHIPPED = Path(__file__).parent / "agent.npz"
VERSION = 1
CLIPPED = 5.0
"""Standard deviations beyond which a feature says no more: nothing like it was seen in training."""
FALLBACK = "greedy"
"""For pools that the agent has not learned about: those without token codes, and empty ones."""

GRIDS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "greedy": ("price", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)),
    "beam": ("price", (0.2, 0.4, 0.5, 0.6, 0.8, 1.2)),
    "adaptive_k": ("buffer", (0, 1, 2, 3, 5)),
    "adagres": ("scale", (0.5, 1.0, 2.0)),
    "mmr": ("theta", (0.5, 0.7, 0.9)),
    "topk": ("", (0.0,)),
}
"""Strategy -> the parameter that is chosen for it, and the values it may get. The order decides between equals.

`mcts` is not among them: it seeks the same sets as `beam` and `greedy`, by the same utility, in more time.
"""

STRATEGY_NAMES = tuple(GRIDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Weights of m members, all float32: standardisation, a hidden layer, the embedding, two heads.

    Members differ in what they started from and were stopped by. Their mean is a better judge than any of them, since
    questions whose evidence is known are few.
    """

    mean: F32
    """(f,)"""
    scale: F32
    """(f,)"""
    hidden: F32
    """(m, f + 1, h); the last row of each layer is its bias."""
    embedding: F32
    """(m, h + 1, e)"""
    classes: F32
    """(m, e + 1, strategies)"""
    parameters: F32
    """(m, e + 1, strategies): place of the parameter in its grid, 0 to 1."""

    def forward(self, raw: F32) -> tuple[F32, F32]:
        """Shares of the strategies and places of their parameters, both (n, strategies), for features (n, f)."""
        x = np.clip((raw - self.mean) / self.scale, -CLIPPED, CLIPPED)
        e = np.maximum(_layer(np.maximum(_layer(x, self.hidden), 0.0), self.embedding), 0.0)
        scores = np.exp(_layer(e, self.classes))
        shares = scores / scores.sum(axis=2, keepdims=True)
        return shares.mean(axis=0), _layer(e, self.parameters).mean(axis=0)

    def fits(self) -> bool:
        """Whether the layers fit each other, and the features and strategies of this version."""
        f, s = len(NAMES), len(STRATEGY_NAMES)
        if self.hidden.ndim != 3 or self.embedding.ndim != 3:
            return False
        (m, _, h), e = self.hidden.shape, self.embedding.shape[2]
        known = [(f,), (f,), (m, f + 1, h), (m, h + 1, e), (m, e + 1, s), (m, e + 1, s)]
        return m > 0 and [getattr(self, name).shape for name in Network.__slots__] == known

    @classmethod
    def joined(cls, members: Sequence[Network]) -> Network:
        """Several networks with the same standardisation as one."""
        layers = {
            name: np.concatenate([getattr(one, name) for one in members])
            for name in ("hidden", "embedding", "classes", "parameters")
        }
        return cls(mean=members[0].mean, scale=members[0].scale, **layers)


def _layer(x: F32, weights: F32) -> F32:
    out: F32 = x @ weights[:, :-1] + weights[:, -1:]
    return out


class Agent:
    """Chooses strategy and parameters.

    Parameters
    ----------
    network : Network
    trained_on : str
        What it learned from.

    Raises
    ------
    ArgumentError
        The network has other features or strategies than this version.
    """

    def __init__(self, network: Network, trained_on: str = "") -> None:
        if not network.fits():
            raise ArgumentError("agent", "was trained by another version of ramet; train it again: ramet rag train")
        self.network = network
        self.trained_on = trained_on

    @classmethod
    def load(cls, path: str | Path = SHIPPED) -> Agent:
        """Read an agent from a file that `save` wrote; without a path, the one that ships.

        Raises
        ------
        ArgumentError
            There is no such file, or it holds no agent of this version.
        """
        found = _arrays(path)
        same = np.array_equal(found.get("version", -1), VERSION)
        if not same or not np.array_equal(found.get("strategies", ()), STRATEGY_NAMES):
            raise ArgumentError("agent", f"{str(path)!r} is of another version; train it again: ramet rag train")
        try:
            network = Network(**{name: found[name].astype(np.float32) for name in Network.__slots__})
        except (KeyError, ValueError) as error:
            raise ArgumentError("agent", f"{str(path)!r} holds no agent ({error}); train it again") from error
        return cls(network, str(found.get("trained_on", "")))

    def save(self, path: str | Path) -> None:
        """Write it to a file."""
        arrays = {name: getattr(self.network, name) for name in Network.__slots__}
        names = np.array(STRATEGY_NAMES)
        with Path(path).open("wb") as file:
            np.savez(file, **arrays, version=VERSION, strategies=names, trained_on=np.array(self.trained_on))

    def choose(self, pool: Pool, budget: int) -> tuple[str, dict[str, Any]]:
        """Strategy and parameters for one question.

        Parameters
        ----------
        pool : Pool
        budget : int
            Tokens for chunks.

        Returns
        -------
        (str, dict)
        """
        if not len(pool.candidates) or not len(pool.coverage):
            return FALLBACK, {}
        shares, places = self.network.forward(features(pool, budget)[None])
        best = int(shares[0].argmax())
        return configuration(STRATEGY_NAMES[best], float(places[0, best]))


def _arrays(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an archive.

    Raises
    ------
    ArgumentError
        There is no such file, or it is none, or damaged.
    """
    try:
        with Path(path).open("rb") as file:  # NumPy does not close files that are no archives
            kept = np.load(file, allow_pickle=False)
            if not isinstance(kept, NpzFile):
                raise ValueError("it holds one array, no agent")
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, EOFError, NotImplementedError, BadZipFile, zlib.error) as error:
        raise ArgumentError("agent", f"{str(path)!r} cannot be read ({error})") from error


def configuration(strategy: str, place: float) -> tuple[str, dict[str, Any]]:
    """The strategy with the value of its grid that is nearest to a place in it, 0 to 1."""
    name, grid = GRIDS[strategy]
    value = grid[round(min(max(place, 0.0), 1.0) * (len(grid) - 1))]
    return strategy, ({name: value} if name else {})


@cache
def shipped() -> Agent:
    """The agent that ships with the package, read once."""
    return Agent.load()
