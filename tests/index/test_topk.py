"""Bounded top-k of packed keys: order, ties, odd numbers, duplicates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from ramet.index.kernels import topk
from ramet.index.kernels.topk import EMPTY
from tests.oracle import kernels as naive

distances = st.one_of(
    st.floats(width=32, allow_nan=True),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, -math.nan, 2.0**-149, 2.0**127]),
)
numbers = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 2**31, 2**32 - 1]))
pairs = st.tuples(distances, numbers)


@njit(cache=True)
def pack(distance, number):
    return topk.pack(np.float32(distance), np.uint32(number))


@njit(cache=True)
def unpack(key):
    return topk.distance_of(key), topk.number_of(key)


def key_of(pair):
    return np.uint64(pack(np.float32(pair[0]), np.uint32(pair[1])))


def triple_of(key):
    return naive.pack(*unpack(np.uint64(key)))


def kept_by(offer, pairs, k):
    """Pairs that a heap of k keeps, ascending, as the naive twin writes them."""
    heap, size = np.full(k, EMPTY), 0
    for pair in pairs:
        size = offer(heap, size, key_of(pair))
    topk.sort_heap(heap, size)
    return [triple_of(key) for key in heap[:size]]


# --------------------------------------------------------------------------------------------------------------- keys


@given(left=pairs, right=pairs)
def test_keys_sort_by_distance_then_number_and_not_a_number_last(left, right):
    twins = naive.pack(*left), naive.pack(*right)
    keys = key_of(left), key_of(right)
    assert (keys[0] < keys[1]) == (twins[0] < twins[1])
    assert (keys[0] == keys[1]) == (twins[0] == twins[1])


@given(pair=pairs)
def test_a_key_holds_its_distance_and_number(pair):
    distance, number = unpack(key_of(pair))
    twin = naive.pack(*pair)
    assert number == naive.number_of(twin)
    assert distance == pytest.approx(naive.distance_of(twin), rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x7FFFFFFF])
def test_every_not_a_number_sorts_behind_infinity_and_before_no_key(bits):
    """On x86, 0 * infinity has its sign bit set: taken as it is, it would sort before everything."""
    nan = np.array([bits], np.uint32).view(np.float32)[0]
    key = np.uint64(pack(nan, np.uint32(2**32 - 1)))
    assert key_of((math.inf, 2**32 - 1)) < key < EMPTY
    assert np.isnan(unpack(key)[0])


def test_zeros_of_both_signs_are_one_distance():
    assert key_of((-0.0, 7)) == key_of((0.0, 7))
    assert key_of((0.0, 1)) < key_of((-0.0, 2)) < key_of((0.0, 3))


# --------------------------------------------------------------------------------------------------------------- heaps


@given(offered=st.lists(pairs, max_size=40), k=st.integers(1, 12))
def test_insert_keeps_the_smallest_keys(offered, k):
    kept = []
    for pair in offered:
        kept = naive.insert(kept, k, naive.pack(*pair))
    assert kept_by(topk.insert, offered, k) == kept


@given(
    offered=st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 5)), max_size=60), k=st.integers(1, 9)
)
def test_insert_once_keeps_each_key_once(offered, k):
    kept = []
    for pair in offered:
        kept = naive.insert_once(kept, k, naive.pack(*pair))
    assert kept_by(topk.insert_once, offered, k) == kept
    assert len(set(kept)) == len(kept)


@given(offered=st.lists(pairs, max_size=30), k=st.integers(1, 9), seed=st.randoms(use_true_random=False))
def test_what_is_kept_does_not_depend_on_the_order_of_offers(offered, k, seed):
    shuffled = list(offered)
    seed.shuffle(shuffled)
    for offer in (topk.insert, topk.insert_once):
        assert kept_by(offer, offered, k) == kept_by(offer, shuffled, k)


@given(offered=st.lists(pairs, min_size=1, max_size=20), k=st.integers(1, 20))
def test_the_root_of_the_heap_is_its_largest_key(offered, k):
    heap, size = np.full(k, EMPTY), 0
    for pair in offered:
        size = topk.insert(heap, size, key_of(pair))
        assert heap[0] == heap[:size].max()
        assert all(heap[(i - 1) // 2] >= heap[i] for i in range(1, size))
        assert (heap[size:] == EMPTY).all()


@given(keys=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), key=st.integers(0, 2**64 - 1))
def test_sift_down_moves_keys_as_its_naive_twin_does(keys, key):
    heap = np.array(sorted(keys, reverse=True), np.uint64)
    topk.sift_down(heap, len(heap), 0, np.uint64(key))
    assert heap.tolist() == naive.sift_down(sorted(keys, reverse=True), 0, key)


@given(keys=st.lists(st.integers(0, 2**64 - 1), max_size=30), spare=st.integers(0, 3))
def test_sort_heap_sorts_what_is_in_use_and_leaves_the_rest(keys, spare):
    heap = np.concatenate([np.array(sorted(keys, reverse=True), np.uint64), np.full(spare, 5, np.uint64)])
    topk.sort_heap(heap, len(keys))
    assert heap[: len(keys)].tolist() == naive.sort_heap(keys)
    assert (heap[len(keys) :] == 5).all()


@given(
    table=st.lists(st.lists(st.tuples(distances, st.integers(-1, 9)), min_size=3, max_size=3), min_size=1, max_size=5)
)
def test_pack_many_leaves_negative_numbers_out(table):
    values = np.array([[pair[0] for pair in row] for row in table], np.float32)
    found = np.array([[pair[1] for pair in row] for row in table], np.int64)
    keys = np.full(values.shape, EMPTY)
    topk.pack_many(values, found, keys)
    twins = naive.pack_many(values.tolist(), found.tolist())
    assert [[None if key == EMPTY else triple_of(key) for key in row] for row in keys] == twins
