"""A cross-encoder for the benchmark, made of MiniLM: question and passages in one pass, and a head over their meeting.

No package brings the weights of a cross-encoder. A fresh classification head on MiniLM learns next to nothing from a
few thousand examples (its loss stays where a constant puts it), so the head here looks at what late interaction looks
at, computed from the joint pass: how well the passages' tokens cover the question's, how much of the passages the
question covers, and how long they are. Encoder and head are trained together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bench import texts

READ = 224
"""Tokens of question and passages that the model reads."""
BATCH, RATE, HEAD_RATE, EPOCHS = 16, 2e-5, 2e-2, 2
SEED = 5


class Judged(Protocol):
    """A set of passages, and how good it is as evidence."""

    @property
    def question(self) -> str:
        """What is asked."""
        ...

    @property
    def text(self) -> str:
        """The passages."""
        ...

    @property
    def worth(self) -> float:
        """From 0 to 1."""
        ...


class JointEncoder:
    """Scores (question, passages) pairs, as a CrossEncoder of sentence-transformers does.

    Parameters
    ----------
    of : sequence of Judged
        What it is trained on.
    said : callable
        Gets a line after each epoch.
    """

    def __init__(self, of: Sequence[Judged], said: Callable[[str], object] = print) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.manual_seed(SEED)
        path = str(texts.model_path())
        self._tokenizer = AutoTokenizer.from_pretrained(path)
        self._encoder = AutoModel.from_pretrained(path)
        self._head = torch.nn.Linear(4, 1)
        with torch.no_grad():
            self._head.weight[:] = torch.tensor([[6.0, 2.0, -1.0, 1.0]])
            self._head.bias[:] = -4.0
        self._train(of, said)

    def predict(self, pairs: Sequence[tuple[str, str]], **_: Any) -> npt.NDArray[np.float32]:
        """Scores of pairs, float32 (n,)."""
        import torch

        out = np.empty(len(pairs), np.float32)
        order = np.argsort([len(text) for _, text in pairs], kind="stable")
        with torch.inference_mode():
            for first in range(0, len(order), 32):
                part = order[first : first + 32]
                out[part] = self._scores([pairs[i] for i in part.tolist()]).numpy()
        return out

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> Any:
        import torch

        inputs = self._tokenizer(
            [question for question, _ in pairs], [text for _, text in pairs], padding=True, truncation="only_second",
            max_length=READ, return_tensors="pt", return_special_tokens_mask=True,
        )  # fmt: skip
        special = inputs.pop("special_tokens_mask").bool()
        hidden = torch.nn.functional.normalize(self._encoder(**inputs).last_hidden_state, dim=-1)
        there = inputs["attention_mask"].bool() & ~special
        second = inputs["token_type_ids"].bool()
        question, passages = there & ~second, there & second
        met = hidden @ hidden.transpose(1, 2)
        met = met.masked_fill(~(question[:, :, None] & passages[:, None, :]), -1.0)
        covered = (met.amax(2) * question).sum(1) / question.sum(1)
        wanted = (met.amax(1) * passages).sum(1) / passages.sum(1).clamp(min=1)
        length = passages.sum(1) / READ
        least = met.amax(2).masked_fill(~question, 1.0).amin(1)
        return self._head(torch.stack([covered, wanted, length, least], 1))[:, 0]

    def _train(self, of: Sequence[Judged], said: Callable[[str], object]) -> None:
        import torch

        groups = [
            {"params": self._encoder.parameters(), "lr": RATE},
            {"params": self._head.parameters(), "lr": HEAD_RATE},
        ]
        optimizer, loss_of = torch.optim.AdamW(groups, weight_decay=0.01), torch.nn.BCEWithLogitsLoss()
        rng = np.random.default_rng(SEED)
        constant = _entropy(float(np.mean([one.worth for one in of])))
        self._encoder.train()
        for epoch in range(EPOCHS):
            losses = []
            for part in _batches(of, rng):
                scores = self._scores([(one.question, one.text) for one in part])
                loss = loss_of(scores, torch.tensor([one.worth for one in part], dtype=torch.float32))
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self._encoder.parameters(), 1.0)
                optimizer.step()
                losses.append(float(loss.detach()))
            said(
                f"  cross-encoder, epoch {epoch + 1}: loss {np.mean(losses):.3f} over {len(of):,} sets of passages "
                f"({constant:.3f} for a constant)"
            )
        self._encoder.eval()


def _entropy(mean: float) -> float:
    """Loss of the best constant."""
    inside = min(max(mean, 1e-6), 1 - 1e-6)
    return float(-(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)))


def _batches(of: Sequence[Judged], rng: np.random.Generator) -> Iterator[list[Judged]]:
    """Examples of like length together, in an order by chance."""
    by_length = sorted(range(len(of)), key=lambda i: (len(of[i].text), i))
    parts = [by_length[first : first + BATCH] for first in range(0, len(of), BATCH)]
    for number in rng.permutation(len(parts)).tolist():
        yield [of[i] for i in parts[number]]
