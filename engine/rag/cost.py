"""What an answer of a language model costs, and budgets in time or money turned into tokens.

The model is T(p, o) = F(p) + (o - 1) g: the time until the first token grows with the tokens p of the prompt, every
further one of o takes g, whatever the prompt (Narayanan et al., "Cheaply estimating inference efficiency metrics for
autoregressive transformer models", NeurIPS 2023). F is linear between the sizes measured. It holds for one request at a
time: waiting for others, prompts that the backend remembers and speculative decoding are not in it. Measure every
deployment anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ramet.engine.errors import ArgumentError

MOST_TOKENS = 1 << 20
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One answer that was measured."""

    prompt_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What is paid, in any currency; what is 0 costs nothing."""

    input_per_million: float = 0.0
    """For a million tokens of prompts."""
    output_per_million: float = 0.0
    """For a million tokens of answers."""
    per_hour: float = 0.0
    """For an hour of the machine, which answers one request at a time."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise ArgumentError(name, f"must be a price from 0 on, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Time and money of an answer, by the tokens of prompt and answer; `fit` makes one of measurements."""

    backend: str
    """What was measured."""
    prompt_tokens: tuple[int, ...] = ()
    """Sizes of prompts that were measured, rising; none: time is not known."""
    first_token: tuple[float, ...] = ()
    """F: seconds until the first token for each of them; never falls."""
    per_token: float = 0.0
    """g: seconds of every further token."""
    r2: float = float("nan")
    """Share of the variance of the measured times that the model explains."""
    max_error: float = float("nan")
    """Largest difference of a measured time, in seconds."""
    n_measured: int = 0
    prices: Prices = field(default_factory=Prices)

    @classmethod
    def fit(cls, measured: Sequence[Measured], *, backend: str = "", prices: Prices | None = None) -> CostModel:
        """Fit the model.

        Parameters
        ----------
        measured : sequence of Measured
            Prompts of several sizes, those of one size with the same number of tokens; per size answers of one token or
            of several lengths, or both.
        backend : str
        prices : Prices, optional

        Raises
        ------
        ArgumentError
            Too few measurements: there must be answers of two lengths, and per size of prompt one of one token or two
            of different lengths.
        """
        p, o, t = _columns(measured)
        sizes = np.unique(p)
        first = np.array([_first_token(o[p == size], t[p == size], int(size)) for size in sizes])
        first = np.maximum.accumulate(np.maximum(first, 0.0))
        beyond = o - 1
        if not beyond.any():
            raise ArgumentError("measured", "has answers of one token only; measure longer ones, too")
        rest = t - first[np.searchsorted(sizes, p)]
        slope = max(0.0, float(beyond @ rest / (beyond @ beyond)))  # through the origin: at o = 1 the rest is 0
        error = t - (first[np.searchsorted(sizes, p)] + slope * beyond)
        spread = float(((t - t.mean()) ** 2).sum())
        return cls(
            backend=backend,
            prompt_tokens=tuple(int(size) for size in sizes),
            first_token=tuple(float(one) for one in first),
            per_token=slope,
            r2=1.0 - float((error**2).sum()) / spread if spread > 0 else float("nan"),
            max_error=float(np.abs(error).max()),
            n_measured=len(t),
            prices=prices or Prices(),
        )

    def seconds(self, prompt_tokens: int, output_tokens: int) -> float:
        """T(p, o): beyond the sizes measured F goes on as between the last two, below them it stays.

        Raises
        ------
        ArgumentError
            Time was not measured.
        """
        self._timed("latency_ms")
        return self._first(prompt_tokens) + max(0, output_tokens - 1) * self.per_token

    def cost(self, prompt_tokens: int, output_tokens: int) -> float:
        """Money for an answer, in the currency of the prices.

        Raises
        ------
        ArgumentError
            The machine is paid by the hour, and time was not measured.
        """
        if self.prices.per_hour:
            self._timed("cost")
        paid = prompt_tokens * self.prices.input_per_million + output_tokens * self.prices.output_per_million
        rent = self.seconds(prompt_tokens, output_tokens) * self.prices.per_hour / 3600 if self.prices.per_hour else 0.0
        return paid / 1e6 + rent

    def tokens_for(self, *, cost: float | None = None, latency_ms: float | None = None, output_tokens: int = 1) -> int:
        """Most tokens of a prompt that cost or take no more; both: the fewer.

        Parameters
        ----------
        cost : float, optional
            For prompt and answer together.
        latency_ms : float, optional
            Until the last token, in milliseconds.
        output_tokens : int
            Tokens of the answer that are allowed for: it may be shorter.

        Returns
        -------
        int
            At most the largest prompt that was measured, where time counts: nothing is known beyond.

        Raises
        ------
        ArgumentError
            Neither is given, prices or times are not known, or not even a prompt of one token is within.
        """
        if cost is None and latency_ms is None:
            raise ArgumentError("budget", "give tokens, cost or latency_ms")
        most = MOST_TOKENS
        if latency_ms is not None:
            limit = _positive(latency_ms, "latency_ms") / 1e3
            self.seconds(1, output_tokens)
            most = _largest(self.prompt_tokens[-1], lambda p: self.seconds(p, output_tokens) <= limit)
            if not most:
                least = 1e3 * self.seconds(1, output_tokens)
                raise ArgumentError(
                    "latency_ms", f"is {latency_ms:g}, and an answer of {output_tokens} tokens takes {least:.0f} ms at "
                    "least; allow more time, or fewer tokens by max_tokens"
                )  # fmt: skip
        if cost is not None:
            most = min(most, self._affordable(_positive(cost, "cost"), output_tokens))
        return most

    def _timed(self, argument: str) -> None:
        """Refuse what depends on times when there are none."""
        if not self.prompt_tokens:
            raise ArgumentError(
                argument, f"depends on the times of {self.backend or 'this backend'}, which are not known; {_HOW}"
            )

    def _affordable(self, cost: float, output_tokens: int) -> int:
        prices = self.prices
        if not (prices.input_per_million or prices.per_hour):
            raise ArgumentError("cost", f"prices of prompts of {self.backend or 'this backend'} are not known; {_HOW}")
        most = self.prompt_tokens[-1] if prices.per_hour and self.prompt_tokens else MOST_TOKENS
        found = _largest(most, lambda p: self.cost(p, output_tokens) <= cost)
        if not found:
            raise ArgumentError(
                "cost", f"is {cost:g}, and an answer of {output_tokens} tokens costs at least "
                f"{self.cost(1, output_tokens):g}; allow more, or fewer tokens by max_tokens"
            )  # fmt: skip
        return found

    def _first(self, p: int) -> float:
        x, y = self.prompt_tokens, self.first_token
        if p > x[-1] and len(x) > 1:
            return y[-1] + (p - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
        return float(np.interp(p, x, y))

    def save(self, path: str | Path) -> None:
        """Write the model to a JSON file."""
        Path(path).write_text(json.dumps({"version": VERSION, **_plain(self)}, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> CostModel:
        """Read a model that `save` wrote.

        Raises
        ------
        ArgumentError
            There is no such file, or it is no cost model.
        """
        try:
            found = json.loads(Path(path).read_text("utf-8"))
            if found.pop("version") != VERSION:
                raise ValueError("of another version")
            found["r2"], found["max_error"] = (
                float("nan") if found[name] is None else float(found[name]) for name in ("r2", "max_error")
            )
            x, y = tuple(map(int, found.pop("prompt_tokens"))), tuple(map(float, found.pop("first_token")))
            if len(x) != len(y) or list(x) != sorted(set(x)) or list(y) != sorted(y):
                raise ValueError("sizes and times do not belong together")
            return cls(prompt_tokens=x, first_token=y, prices=Prices(**found.pop("prices")), **found)
        except OSError as error:
            raise ArgumentError("cost_model", f"{path} cannot be read ({error.strerror}); {_HOW}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArgumentError("cost_model", f"{path} is no cost model ({error}); {_HOW}") from error


_HOW = "make one with ramet rag calibrate or ramet.CostModel"


def _plain(model: CostModel) -> dict[str, Any]:
    """Fields as JSON knows them."""
    found = asdict(model)
    return {name: None if isinstance(value, float) and value != value else value for name, value in found.items()}


def _columns(measured: Sequence[Measured]) -> tuple[Any, Any, Any]:
    """Columns of measurements, checked."""
    if len(measured) < 2:
        raise ArgumentError("measured", f"has {len(measured)} measurements; two at least are needed")
    p = np.array([one.prompt_tokens for one in measured], np.int64)
    o = np.array([one.output_tokens for one in measured], np.int64)
    t = np.array([one.seconds for one in measured], np.float64)
    if (p < 1).any() or (o < 1).any() or not np.isfinite(t).all() or (t < 0).any():
        raise ArgumentError("measured", "has prompts or answers without tokens, or times below 0")
    return p, o, t


def _first_token(o: Any, t: Any, size: int) -> float:
    """F of one size of prompt: the median time of answers of one token, or the line through the others at 1."""
    if (o == 1).any():
        return float(np.median(t[o == 1]))
    if len(np.unique(o)) < 2:
        raise ArgumentError(
            "measured", f"has answers of one length to prompts of {size} tokens; measure one token or two lengths"
        )
    slope, intercept = np.polyfit(o.astype(np.float64), t, 1)
    return float(intercept + slope)


def _largest(most: int, good: Any) -> int:
    """The largest number up to `most` that is good, when all below it are; 0: not even 1."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low


def _positive(value: object, argument: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < float(value) < float("inf"):
        raise ArgumentError(argument, f"must be a number above 0, got {value!r}")
    return float(value)
