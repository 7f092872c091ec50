"""Embedding models small enough to be made in a test: random weights, a vocabulary of letters and some words."""

import string
from pathlib import Path

import numpy as np

WORDS = "the of and a in to is was for on fox dog lazy quick brown jumps over river stone query passage".split()
MAX_TOKENS = 32


def vocabulary() -> list[str]:
    letters = string.ascii_lowercase + string.digits
    pieces = [*letters, *(f"##{one}" for one in letters), *string.punctuation]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(one for one in WORDS if len(one) > 1)]


def word_pieces(folder: Path):
    """A WordPiece tokenizer of that vocabulary, as BERT has it."""
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "vocab.txt"
    file.write_text("\n".join(vocabulary()), "utf-8")
    return BertTokenizerFast(str(file), do_lower_case=True)


def bert_model(folder: Path, *, seed: int = 0, dim: int = 16, pooling: str = "mean", prompts=None) -> Path:
    """Save a sentence-transformers model: BERT of two layers with random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    tokenizer = word_pieces(folder / "raw")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=dim, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=2 * dim, max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder / "raw")
    tokenizer.save_pretrained(folder / "raw")
    transformer = Transformer(str(folder / "raw"), max_seq_length=MAX_TOKENS)
    model = SentenceTransformer(
        modules=[transformer, Pooling(dim, pooling_mode=pooling)], device="cpu", prompts=prompts or {}
    )
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


def static_model(folder: Path, *, seed: int = 0, dim: int = 16) -> Path:
    """Save a model2vec model: a random vector for each token."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokens = {token: i for i, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vectors = np.random.default_rng(seed).normal(size=(len(tokens), dim)).astype(np.float32)
    StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder
