"""Dimensions that kernels are tried with: around the 16 lanes and the 64-byte blocks, and those of real vectors."""

from hypothesis import example
from hypothesis import strategies as st

DIMS = [1, 2, 15, 16, 17, 50, 63, 64, 65, 100, 128, 300, 784]

dims = st.sampled_from(DIMS)
seeds = st.integers(0, 2**32 - 1)


def every_dim(**others):
    """Try each dimension at least once, with these values of the other arguments; stands above ``given``."""

    def decorate(test):
        for dim in DIMS:
            test = example(dim=dim, **others)(test)
        return test

    return decorate
