"""Records against the rules of a collection: bad ones are counted with their reason, the others go on."""

from __future__ import annotations

from ramet.engine.jobs.inputs.blocks import Block


def checked(block: Block, dim: int, metric: str, dtype: str) -> Block:
    """The records of a block that a collection of that dimension, metric and dtype can hold, vectors in its dtype.

    What it cannot hold is in ``rejected`` of the new block, beside what was there.
    """
    raise NotImplementedError
