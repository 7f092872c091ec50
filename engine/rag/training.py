"""Training of the configuration agent, offline and in plain NumPy.

The loss is that of CORAG/CARROT's agent, the sum of three terms, with two changes that its published code calls for:

- classification: cross-entropy with soft targets. Many configurations are equally good for a question; a target that
  names one of them would teach noise.
- regression: squared error of the parameter's place in its grid, against the mean place of the good values.
- contrastive, on pairs of a batch: d^2 if the same strategy is best for both, else max(0, margin - d)^2. The distance d
  is that of the *embeddings*; on the class scores themselves it would fight the classification.

Several networks are trained, each stopped by other questions, and answer together. How good that is, cross-validation
says: whole questions are kept apart, with all of their budgets.

The same questions, seed and settings give the same weights on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.agent import CLIPPED, GRIDS, STRATEGY_NAMES, Agent, Network
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

    members: int = 6
    epochs: int = 60
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.3
    """Of the weights, decoupled."""
    temperature: float = 0.05
    """Of the soft targets, in units of worth. In cross-validation 0.2 was worth 0.524, 0.05 0.535, 0.035 0.534."""
    margin: float = 1.0
    contrastive: float = 0.1
    regression: float = 1.0
    held: float = 0.15
    """Share of the questions by which a member is stopped."""
    folds: int = 5
    """Of cross-validation; below 2: none."""
    seed: int = 5


@dataclass(slots=True, kw_only=True)
class AgentReport:
    """How it went. Worth is what the labels say of the configurations chosen, a mean over groups."""

    train: float = 0.0
    """On the questions that it was trained with."""
    validation: float = 0.0
    """In cross-validation."""
    fixed: dict[str, float] = field(default_factory=dict)
    """Of each strategy the best configuration that stays the same, chosen with hindsight -> worth."""
    best: float = 0.0
    """If the best configuration of every question were known: what no agent can exceed."""
    chosen: dict[str, float] = field(default_factory=dict)
    """Strategy -> share of the questions and budgets for which it is chosen."""


def train(
    labels: Labels, settings: Settings | None = None, progress: Callable[[int, int], object] | None = None
) -> tuple[Agent, AgentReport]:
    """Train an agent.

    Parameters
    ----------
    labels : Labels
        Of at least two questions.
    settings : Settings, optional
    progress : callable, optional
        Called with (networks trained, networks in all).

    Returns
    -------
    (Agent, AgentReport)

    Raises
    ------
    ArgumentError
        Fewer than two questions.
    """
    how = settings or Settings()
    n = int(labels.question.max()) + 1 if len(labels.question) else 0
    if n < 2:
        raise ArgumentError("questions", f"are {n} with known evidence among the candidates; pass at least 2")
    folds = min(how.folds, n) if how.folds >= 2 else 0
    in_all = how.members * (folds + 1)
    report = AgentReport()
    every = np.ones(len(labels.question), np.bool_)
    network = _members(labels, every, how, lambda done: progress and progress(done, in_all))
    agent = Agent(network)
    if folds:
        report.validation = _cross_validated(
            labels, folds, how, lambda done: progress and progress(how.members + done, in_all)
        )
    _reported(report, labels, network)
    return agent, report


def _cross_validated(labels: Labels, folds: int, how: Settings, progress: Callable[[int], object]) -> float:
    """Worth for questions that the networks were not trained with."""
    order = np.random.default_rng(how.seed).permutation(int(labels.question.max()) + 1)
    reached = np.zeros(len(labels.question), np.float32)
    for fold in range(folds):
        out = np.isin(labels.question, order[fold::folds])
        done = fold * how.members
        network = _members(labels, ~out, how, lambda one, done=done: progress(done + one))  # type: ignore[misc]
        reached[out] = _worth(labels, network)[out]
    return _by_group(labels, reached)


def _members(labels: Labels, rows: Flags, how: Settings, progress: Callable[[int], object]) -> Network:
    """All members, trained with some of the rows."""
    targets = _Targets.of(labels, how)
    mean, scale = labels.features[rows].mean(axis=0), np.maximum(labels.features[rows].std(axis=0), 1e-3)
    x = np.clip((labels.features - mean) / scale, -CLIPPED, CLIPPED).astype(np.float64)
    members = []
    for number in range(how.members):
        rng = np.random.default_rng((how.seed, number))
        held = rows & _held(labels.question, rows, how, rng)

        def judged(weights: Weights, held: Flags = held) -> float:
            return _by_group(labels, _worth(labels, _network(weights, mean, scale)), held)

        members.append(_network(_trained(x, targets, np.flatnonzero(rows & ~held), how, rng, judged), mean, scale))
        progress(number + 1)
    return Network.joined(members)


def _trained(
    x: F64, targets: _Targets, rows: I64, how: Settings, rng: np.random.Generator, judged: Callable[[Weights], float]
) -> Weights:
    """One member: the weights of the epoch that is judged best."""
    weights = _started(x.shape[1], rng)
    adam = _Adam(weights, how)
    best, kept = -np.inf, weights
    for _ in range(how.epochs):
        shuffled = rng.permutation(rows)
        for first in range(0, len(shuffled), how.batch):
            part = shuffled[first : first + how.batch]
            adam.step(weights, gradients(weights, x[part], targets.at(part), how))
        reached = judged(weights)
        if reached > best:
            best, kept = reached, {name: value.copy() for name, value in weights.items()}
    return kept


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


def _held(question: I64, rows: Flags, how: Settings, rng: np.random.Generator) -> Flags:
    """Rows of the questions that stop the training, all budgets of a question together."""
    there = np.unique(question[rows])
    chosen = rng.permutation(there)[: max(1, round(how.held * len(there)))]
    found: Flags = np.isin(question, chosen)
    return found


def _network(weights: Weights, mean: F32, scale: F32) -> Network:
    return Network(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        **{name: value.astype(np.float32)[None] for name, value in weights.items()},
    )


def _taken(labels: Labels, network: Network) -> tuple[I64, I64]:
    """Strategy and place in its grid that a network chooses, per row."""
    shares, places = network.forward(labels.features)
    strategy = shares.argmax(axis=1)
    sizes = np.array([len(grid) for _, grid in GRIDS.values()])[strategy]
    at = np.clip(places[np.arange(len(strategy)), strategy], 0.0, 1.0)
    return strategy, np.rint(at * (sizes - 1)).astype(np.int64)


def _worth(labels: Labels, network: Network) -> F32:
    """Worth of what a network chooses, per row."""
    strategy, place = _taken(labels, network)
    found: F32 = labels.worth[np.arange(len(strategy)), strategy, place]
    return found


def _by_group(labels: Labels, values: F32, rows: Flags | None = None) -> float:
    """Mean over groups of the mean over their rows."""
    among = np.ones(len(values), np.bool_) if rows is None else rows
    groups = [among & (labels.group == name) for name in np.unique(labels.group[among])]
    return float(np.mean([values[of].mean() for of in groups]))


def _reported(report: AgentReport, labels: Labels, network: Network) -> None:
    report.train = _by_group(labels, _worth(labels, network))
    report.best = _by_group(labels, np.nanmax(labels.worth, axis=(1, 2)))
    for row, (strategy, (name, grid)) in enumerate(GRIDS.items()):
        reached = [_by_group(labels, labels.worth[:, row, column]) for column in range(len(grid))]
        best = int(np.argmax(reached))
        report.fixed[f"{strategy} {name}={grid[best]:g}" if name else strategy] = reached[best]
    chosen = np.bincount(_taken(labels, network)[0], minlength=len(STRATEGY_NAMES)) / len(labels.question)
    report.chosen = {name: float(share) for name, share in zip(STRATEGY_NAMES, chosen, strict=True) if share}
