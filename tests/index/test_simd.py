"""Inner products written as vector IR: equal to obvious loops, and how far they read."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from ramet.index.kernels import simd
from tests.index.pages import guarded
from tests.index.shapes import DIMS, dims, every_dim, seeds
from tests.oracle import kernels as naive

ROOT = Path(__file__).resolve().parents[2]
needs_vnni = pytest.mark.skipif(not simd.has_vnni(), reason="this machine has no AVX-512 VNNI")

HALF, SINGLE = np.float16, np.float32


@njit(cache=True)
def dot_f32(a, b, n):
    return simd.dot_f32(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def l2_f32(a, b, n):
    return simd.l2_f32(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def dot_f32_f16(a, b, n):
    return simd.dot_f32_f16(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def l2_f32_f16(a, b, n):
    return simd.l2_f32_f16(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def dot_f16(a, b, n):
    return simd.dot_f16(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def dot_u8_s8_portable(a, b, n):
    return simd.dot_u8_s8_portable(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def dot_u8_s8_vnni(a, b, n):
    return simd.dot_u8_s8_vnni(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def dot_u8_s8(a, b, n):
    return simd.dot_u8_s8(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def largest_difference(a, b, n):
    return simd.largest_difference(np.uintp(a), np.uintp(b), n)


@njit(cache=True)
def loads(address):
    at = np.uintp(address)
    return simd.load_u32(at), simd.load_i32(at), simd.load_f32(at)


@njit(cache=True)
def float_bits(value):
    return simd.float_bits(np.float32(value))


@njit(cache=True)
def bits_float(bits):
    return simd.bits_float(np.uint32(bits))


@njit(cache=True)
def copies(address, n):
    at = np.uintp(address)
    return simd.array_f32(at, n).copy(), simd.array_u32(at, n).copy(), simd.array_u64(at, n).copy()


@njit(cache=True)
def prefetch(address):
    simd.prefetch(np.uintp(address))


FLOAT_PRODUCTS = [
    (dot_f32, SINGLE, SINGLE),
    (l2_f32, SINGLE, SINGLE),
    (dot_f32_f16, SINGLE, HALF),
    (l2_f32_f16, SINGLE, HALF),
    (dot_f16, HALF, HALF),
]
float_products = pytest.mark.parametrize("kernel, left, right", FLOAT_PRODUCTS, ids=lambda x: getattr(x, "__name__", x))
byte_products = pytest.mark.parametrize(
    "kernel", [dot_u8_s8, dot_u8_s8_portable, pytest.param(dot_u8_s8_vnni, marks=needs_vnni)], ids=lambda x: x.__name__
)


def at(array):
    return array.ctypes.data


def twin(kernel):
    return getattr(naive, kernel.__name__)


def pair(seed, dim, left, right):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(dim).astype(left), rng.standard_normal(dim).astype(right)


def byte_pair(seed, dim):
    """Unsigned bytes with rubbish behind them, signed bytes with zeros behind them, both to a multiple of 64."""
    rng = np.random.default_rng(seed)
    padded = -(-dim // 64) * 64
    unsigned = rng.integers(0, 256, padded, np.uint8)
    signed = np.zeros(padded, np.int8)
    signed[:dim] = rng.integers(-128, 128, dim, np.int8)
    return unsigned, signed


# ------------------------------------------------------------------------------------------------------ equal to loops


@float_products
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_float_products_are_those_of_their_naive_twins(kernel, left, right, dim, seed):
    a, b = pair(seed, dim, left, right)
    size = sum(abs(float(x) * float(y)) for x, y in zip(a, b, strict=True)) + naive.l2_f32(a, b)
    assert kernel(at(a), at(b), dim) == pytest.approx(twin(kernel)(a, b), abs=2e-6 * size)


@float_products
def test_float_products_of_small_integers_are_exact_at_every_length(kernel, left, right):
    rng = np.random.default_rng(0)
    for dim in range(1, 150):
        a, b = rng.integers(-9, 10, dim).astype(left), rng.integers(-9, 10, dim).astype(right)
        assert kernel(at(a), at(b), dim) == twin(kernel)(a, b)


@float_products
def test_float_products_of_no_elements_are_zero(kernel, left, right):
    a, b = pair(0, 1, left, right)
    assert kernel(at(a), at(b), 0) == 0.0


@float_products
@pytest.mark.parametrize("dim", [1, 16, 17, 64, 130])
def test_not_a_number_and_infinity_reach_the_sum_from_every_place(kernel, left, right, dim):
    for place in range(dim):
        a, b = np.ones(dim, left), np.full(dim, 2, right)
        a[place] = np.nan
        assert np.isnan(kernel(at(a), at(b), dim))
        a[place] = np.inf
        assert kernel(at(a), at(b), dim) == np.inf


@byte_products
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_byte_products_are_exact(kernel, dim, seed):
    unsigned, signed = byte_pair(seed, dim)
    assert kernel(at(unsigned), at(signed), dim) == naive.dot_u8_s8(unsigned[:dim], signed[:dim])


@byte_products
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_byte_products_ignore_what_lies_behind_the_signed_operand_when_the_unsigned_one_is_padded(kernel, dim, seed):
    unsigned, signed = byte_pair(seed, dim)
    unsigned[dim:] = 0
    signed[dim:] = np.random.default_rng(seed).integers(-128, 128, len(signed) - dim, np.int8)
    assert kernel(at(unsigned), at(signed), dim) == naive.dot_u8_s8(unsigned[:dim], signed[:dim])


@byte_products
@pytest.mark.parametrize("low", [-128, 127])
def test_byte_products_do_not_saturate_at_the_largest_dimension(kernel, low):
    dim = 16_384
    unsigned, signed = np.full(dim, 255, np.uint8), np.full(dim, low, np.int8)
    assert kernel(at(unsigned), at(signed), dim) == 255 * low * dim


# --------------------------------------------------------------------------------------------------- largest difference


@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_the_largest_difference_is_that_of_the_naive_twin(dim, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-3, 4, (2, dim)).astype(np.float32)  # small integers: ties are many, and go to the first
    assert largest_difference(at(a), at(b), dim) == naive.largest_difference(a, b)


def test_the_largest_difference_is_found_at_every_place_of_every_length():
    for dim in range(1, 70):
        for place in range(dim):
            a, b = np.full(dim, -5, np.float32), np.full(dim, 2, np.float32)
            a[place] = -4.5
            assert largest_difference(at(a), at(b), dim) == place


@pytest.mark.parametrize("dim", [1, 16, 17, 40])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_differences_that_compare_with_nothing_give_a_place_inside(dim, value):
    a, b = np.full(dim, value, np.float32), np.zeros(dim, np.float32)
    assert largest_difference(at(a), at(b), dim) == 0
    a[dim - 1] = -1e30
    assert largest_difference(at(a), at(b), dim) == dim - 1


def test_the_largest_difference_reads_nothing_behind_its_operands():
    for dim in [*range(1, 70), *DIMS]:
        a, b = pair(dim, dim, SINGLE, SINGLE)
        pages = (guarded(a), guarded(b))
        assert largest_difference(pages[0][1], pages[1][1], dim) == naive.largest_difference(a, b)


# ------------------------------------------------------------------------------------------------- reads past the end


@float_products
def test_float_products_read_nothing_behind_their_operands(kernel, left, right):
    for dim in [*range(1, 70), *DIMS]:
        a, b = pair(dim, dim, left, right)
        pages = (guarded(a), guarded(b))
        kernel(pages[0][1], pages[1][1], dim)  # a read too far ends the process


@byte_products
def test_byte_products_read_at_most_63_bytes_behind_their_operands(kernel):
    for dim in [*range(1, 70), *DIMS]:
        unsigned, signed = byte_pair(dim, dim)
        pages = (guarded(unsigned[:dim], spare=63), guarded(signed[:dim], spare=63))
        kernel(pages[0][1], pages[1][1], dim)  # a read too far ends the process


def test_the_unreadable_page_catches_a_read_too_far():
    script = """
import numpy as np
from tests.index import pages, test_simd
a, where = pages.guarded(np.zeros(16, np.float32))
test_simd.dot_f32(where, where, 16)
print("16 elements", flush=True)
test_simd.dot_f32(where, where, 17)
print("17 elements", flush=True)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split("\n")[0] == "16 elements", run.stderr
    assert "17 elements" not in run.stdout
    assert run.returncode == -signal.SIGSEGV


# --------------------------------------------------------------------------------------------------------- plain memory


@given(content=st.binary(min_size=4, max_size=4), offset=st.integers(0, 7))
def test_loads_are_unaligned_and_those_of_their_naive_twins(content, offset):
    buffer = np.frombuffer(b"x" * offset + content, np.uint8)
    unsigned, signed, single = loads(at(buffer) + offset)
    assert unsigned == naive.load_u32(content, 0)
    assert signed == naive.load_i32(content, 0)
    assert single == pytest.approx(naive.load_f32(content, 0), rel=0, abs=0, nan_ok=True)


def test_loads_read_nothing_behind_their_four_bytes():
    pages, where = guarded(np.array([7], np.uint32))
    assert loads(where)[0] == 7
    del pages


@given(value=st.floats(width=32))
def test_bits_of_floats_are_those_of_the_naive_twin_and_go_back(value):
    assert float_bits(np.float32(value)) == naive.float_bits(value)
    assert bits_float(naive.float_bits(value)) == pytest.approx(value, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_array_views_are_those_of_their_naive_twins(n):
    buffer = np.random.default_rng(0).integers(0, 255, 8 * 5, np.uint8)
    floats, words, longs = copies(at(buffer), n)
    assert floats.view(np.uint32).tolist() == [naive.float_bits(x) for x in naive.array_f32(buffer.tobytes(), n)]
    assert words.tolist() == naive.array_u32(buffer.tobytes(), n)
    assert longs.tolist() == naive.array_u64(buffer.tobytes(), n)


def test_prefetch_never_faults():
    pages, where = guarded(np.zeros(1, np.uint8))
    prefetch(where + 1)  # the unreadable page
    prefetch(0)
    del pages
