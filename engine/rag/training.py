"""Training of the configuration agent, offline and in plain NumPy.

The loss is that of CORAG/CARROT's agent, the sum of three terms, with two changes that its published code calls for:

- classification: cross-entropy with soft targets. Many configurations are equally good for a question; a target that
  names one of them would teach noise.
- regression: squared error of the parameter's place in its grid, against the mean place of the good values.
- contrastive, on pairs of a batch: d^2 if the same strategy is best for both, else max(0, margin - d)^2. The distance d
  is that of the *embeddings*; on the class scores themselves it would fight the classification.

The same questions, seed and settings give the same weights on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ramet.engine.rag.agent import GRIDS, STRATEGY_NAMES, Agent, Network
from ramet.engine.rag.labels import Labels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Weights = dict[str, F64]

HIDDEN, EMBEDDING = 32, 16
_LAYERS = ("hidden", "embedding", "classes", "parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train."""

    epochs: int = 60
    batch: int = 64
    rate: float = 2e-3
    decay: float = 1e-3
    """Of the weights, decoupled."""
    temperature: float = 0.1
    """Of the soft targets, in units of worth."""
    margin: float = 1.0
    contrastive: float = 0.1
    regression: float = 1.0
    validation: float = 0.15
    """Share of the questions that are kept for choosing the epoch."""
    seed: int = 5


@dataclass(slots=True, kw_only=True)
class Report:
    """How it went. Worth is what the labels say of the configurations chosen, a mean over groups."""

    train: float = 0.0
    validation: float = 0.0
    fixed: dict[str, float] = field(default_factory=dict)
    """The best configurations that stay the same, chosen on the part trained on -> worth in validation."""
    best: float = 0.0
    """Worth in validation if the best configuration were known: what no agent can exceed."""
    epoch: int = 0
    chosen: dict[str, float] = field(default_factory=dict)
    """Strategy -> share of validation for which it is chosen."""


def train(
    labels: Labels,
    settings: Settings | None = None,
    progress: Callable[[int, float], object] | None = None,
) -> tuple[Agent, Report]:
    """Train an agent.

    Parameters
    ----------
    labels : Labels
    settings : Settings, optional
    progress : callable, optional
        Called with (epoch, worth in validation).

    Returns
    -------
    (Agent, Report)
        The agent of the epoch that is best in validation.
    """
    how = settings or Settings()
    rng = np.random.default_rng(how.seed)
    held = _held(labels, how, rng)
    targets = _Targets.of(labels, how)
    mean = labels.features[~held].mean(axis=0)
    scale = np.maximum(labels.features[~held].std(axis=0), 1e-3)
    x = np.clip((labels.features - mean) / scale, -5.0, 5.0).astype(np.float64)
    weights = _started(x.shape[1], rng)
    adam = _Adam(weights, how)
    report, kept = Report(validation=-np.inf), weights
    rows = np.flatnonzero(~held)
    for epoch in range(1, how.epochs + 1):
        shuffled = rng.permutation(rows)
        for first in range(0, len(shuffled), how.batch):
            part = shuffled[first : first + how.batch]
            adam.step(weights, gradients(weights, x[part], targets.at(part), how))
        reached = _mean_worth(labels, _network(weights, mean, scale), held)
        if reached > report.validation:
            kept = {name: value.copy() for name, value in weights.items()}
            report.validation, report.epoch = reached, epoch
        if progress is not None:
            progress(epoch, reached)
    agent = Agent(_network(kept, mean, scale))
    _reported(report, labels, agent.network, held)
    return agent, report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    """What the heads are to say, per row."""

    classes: F64
    """(m, strategies): shares."""
    places: F64
    """(m, strategies)"""
    best: I64
    """(m,)"""
    weight: F64
    """(m,): rows of a group weigh 1 together; mean 1."""

    @classmethod
    def of(cls, labels: Labels, how: Settings) -> _Targets:
        values = labels.worth.astype(np.float64) / how.temperature
        top = np.nanmax(values, axis=(1, 2), keepdims=True)
        shares = np.nan_to_num(np.exp(values - top))  # of every configuration, beside the best
        within = shares / shares.sum(axis=2, keepdims=True)
        places = np.linspace(0.0, 1.0, values.shape[2])
        sizes = np.array([len(grid) for _, grid in GRIDS.values()])
        at = np.arange(len(places)) / np.maximum(sizes - 1, 1)[:, None]
        # What a strategy is worth: the mean over its good values, for the other head will not always find the best.
        of_strategy = (within * shares).sum(axis=2)
        counts = {name: int((labels.group == name).sum()) for name in np.unique(labels.group)}
        weight = np.array([1.0 / counts[name] for name in labels.group])
        return cls(
            classes=of_strategy / of_strategy.sum(axis=1, keepdims=True),
            places=(within * np.where(at <= 1.0, at, 0.0)).sum(axis=2),
            best=of_strategy.argmax(axis=1),
            weight=weight / weight.mean(),
        )

    def at(self, rows: I64) -> _Targets:
        return _Targets(
            classes=self.classes[rows], places=self.places[rows], best=self.best[rows], weight=self.weight[rows]
        )


def gradients(weights: Weights, x: F64, targets: _Targets, how: Settings) -> Weights:
    """Gradients of the loss over a batch, by layer."""
    return _backward(weights, x, targets, how)[1]


def loss(weights: Weights, x: F64, targets: _Targets, how: Settings) -> float:
    """The loss over a batch."""
    return _backward(weights, x, targets, how)[0]


def _backward(weights: Weights, x: F64, targets: _Targets, how: Settings) -> tuple[float, Weights]:
    h = _affine(x, weights["hidden"])
    e = _affine(np.maximum(h, 0.0), weights["embedding"])
    z = np.maximum(e, 0.0)
    scores, places = _affine(z, weights["classes"]), _affine(z, weights["parameters"])
    share = (targets.weight / len(x))[:, None]
    logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    off = places - targets.places
    apart, d_apart = _contrastive(e, targets.best, how.margin)
    total = -float((share * targets.classes * logs).sum()) + how.contrastive * apart
    total += how.regression * float((share * targets.classes * off**2).sum())
    d_scores = share * (np.exp(logs) - targets.classes)
    d_places = how.regression * share * 2.0 * targets.classes * off  # a strategy that is not taken needs no parameter
    d_z = d_scores @ weights["classes"][:-1].T + d_places @ weights["parameters"][:-1].T
    d_e = d_z * (e > 0.0) + how.contrastive * d_apart
    d_h = (d_e @ weights["embedding"][:-1].T) * (h > 0.0)
    return total, {
        "hidden": _outer(x, d_h),
        "embedding": _outer(np.maximum(h, 0.0), d_e),
        "classes": _outer(z, d_scores),
        "parameters": _outer(z, d_places),
    }


def _contrastive(e: F64, best: I64, margin: float) -> tuple[float, F64]:
    """The contrastive term over all pairs of a batch, and its gradient by embedding."""
    apart = e[:, None, :] - e[None, :, :]
    distance = np.sqrt((apart**2).sum(axis=2) + 1e-12)
    differ = best[:, None] != best[None, :]
    lacking = np.maximum(margin - distance, 0.0)
    pairs = max(len(e) * (len(e) - 1), 1)
    total = float(np.where(differ, lacking**2, distance**2 - 1e-12).sum()) / pairs
    slope = np.where(differ, -2.0 * lacking / distance, 2.0)
    np.fill_diagonal(slope, 0.0)
    # Every pair stands in the sum twice, once from either side.
    return total, 2.0 * (slope[:, :, None] * apart).sum(axis=1) / pairs


def _affine(x: F64, weights: F64) -> F64:
    out: F64 = x @ weights[:-1] + weights[-1]
    return out


def _outer(x: F64, d: F64) -> F64:
    return np.vstack([x.T @ d, d.sum(axis=0)])


def _started(n_features: int, rng: np.random.Generator) -> Weights:
    """Weights as He et al. start them; biases of 0."""
    n = len(STRATEGY_NAMES)
    shapes = ((n_features, HIDDEN), (HIDDEN, EMBEDDING), (EMBEDDING, n), (EMBEDDING, n))
    out: Weights = {}
    for name, (rows, columns) in zip(_LAYERS, shapes, strict=True):
        out[name] = np.vstack([rng.standard_normal((rows, columns)) * np.sqrt(2.0 / rows), np.zeros(columns)])
    return out


class _Adam:
    """Adam with decoupled weight decay."""

    def __init__(self, weights: Weights, how: Settings) -> None:
        self._how = how
        self._first = {name: np.zeros_like(value) for name, value in weights.items()}
        self._second = {name: np.zeros_like(value) for name, value in weights.items()}
        self._steps = 0

    def step(self, weights: Weights, slopes: Weights) -> None:
        """Change the weights in place."""
        self._steps += 1
        for name, slope in slopes.items():
            self._first[name] += 0.1 * (slope - self._first[name])
            self._second[name] += 0.001 * (slope**2 - self._second[name])
            first = self._first[name] / (1.0 - 0.9**self._steps)
            second = self._second[name] / (1.0 - 0.999**self._steps)
            weights[name] -= self._how.rate * (first / (np.sqrt(second) + 1e-8))
            weights[name][:-1] *= 1.0 - self._how.rate * self._how.decay


def _held(labels: Labels, how: Settings, rng: np.random.Generator) -> Flags:
    """Rows of the questions that are kept for validation, all budgets of a question together."""
    n = int(labels.question.max()) + 1
    chosen = rng.permutation(n)[: max(1, round(how.validation * n))]
    return np.isin(labels.question, chosen)


def _network(weights: Weights, mean: F32, scale: F32) -> Network:
    return Network(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        **{name: value.astype(np.float32) for name, value in weights.items()},
    )


def _taken(labels: Labels, network: Network) -> tuple[I64, I64]:
    """Strategy and place in its grid that a network chooses, per row."""
    scores, places = network.forward(labels.features)
    strategy = scores.argmax(axis=1)
    sizes = np.array([len(grid) for _, grid in GRIDS.values()])[strategy]
    at = np.clip(places[np.arange(len(strategy)), strategy], 0.0, 1.0)
    return strategy, np.rint(at * (sizes - 1)).astype(np.int64)


def _mean_worth(labels: Labels, network: Network, rows: Flags) -> float:
    strategy, place = _taken(labels, network)
    return _by_group(labels, labels.worth[np.arange(len(strategy)), strategy, place], rows)


def _by_group(labels: Labels, values: F32, rows: Flags) -> float:
    """Mean over groups of the mean over their rows."""
    groups = [rows & (labels.group == name) for name in np.unique(labels.group[rows])]
    return float(np.mean([values[of].mean() for of in groups]))


def _reported(report: Report, labels: Labels, network: Network, held: Flags) -> None:
    report.train = _mean_worth(labels, network, ~held)
    report.best = _by_group(labels, np.nanmax(labels.worth, axis=(1, 2)), held)
    for row, (strategy, (name, grid)) in enumerate(GRIDS.items()):
        reached = [_by_group(labels, labels.worth[:, row, column], ~held) for column in range(len(grid))]
        best = int(np.argmax(reached))
        said = f"{strategy} {name}={grid[best]:g}" if name else strategy
        report.fixed[said] = _by_group(labels, labels.worth[:, row, best], held)
    strategies = _taken(labels, network)[0][held]
    report.chosen = {
        name: float((strategies == row).mean()) for row, name in enumerate(STRATEGY_NAMES) if (strategies == row).any()
    }
