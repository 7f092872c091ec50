"""8-bit codes, factors, prepared queries and checks of values: against naive twins, and within their error bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ramet.index.codes import encode_rows
from ramet.index.kernels import check, codes, query
from ramet.index.kernels.plan import COSINE, FLOAT16, FLOAT32, INT8, IP, L2, SQ8, UINT8
from tests.index.shapes import dims, every_dim, seeds
from tests.oracle import building
from tests.oracle import kernels as naive

EPS = float(np.finfo(np.float32).eps)
scales = st.sampled_from([1e-30, 1e-3, 1.0, 1e4, 1e18])
offsets = st.sampled_from([0.0, 1.0, -1e6])


def rows(seed, n, dim, scale=1.0, offset=0.0):
    return ((np.random.default_rng(seed).standard_normal((n, dim)) + offset) * scale).astype(np.float32)


def encoded(vectors):
    found, factors = np.empty(vectors.shape, np.uint8), np.empty((codes.SQ8_FACTORS, len(vectors)), np.float32)
    codes.sq8_encode(vectors, found, factors)
    return found, factors


def decoded(found, factors):
    return np.array(
        [naive.sq8_decode(c, m, s) for c, m, s in zip(found, factors[codes.MID], factors[codes.STEP], strict=True)]
    )


# ---------------------------------------------------------------------------------------------------------------- sq8


@every_dim(seed=1, scale=1.0, offset=0.0)
@given(dim=dims, seed=seeds, scale=scales, offset=offsets)
def test_sq8_errors_stay_within_half_a_step(dim, seed, scale, offset):
    vectors = rows(seed, 3, dim, scale, offset)
    found, factors = encoded(vectors)
    errors = np.abs(decoded(found, factors) - vectors)
    rounding = 4 * EPS * np.abs(vectors).max(axis=1)
    assert (errors <= (0.5001 * factors[codes.STEP] + rounding)[:, None]).all()


@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_sq8_codes_and_factors_are_those_of_the_naive_twin(dim, seed):
    vectors = rows(seed, 3, dim)
    found, factors = encoded(vectors)
    twin_codes, twin_factors = naive.sq8_encode(vectors)
    # a value in the middle between two codes may go to either
    assert np.abs(found.astype(int) - twin_codes).max() <= 1
    assert (found == twin_codes).mean() > 0.99
    assert factors[[codes.MID, codes.STEP]] == pytest.approx(twin_factors[[codes.MID, codes.STEP]], rel=1e-5, abs=1e-6)


@given(dim=dims, seed=seeds, scale=st.sampled_from([1e-3, 1.0, 1e4]), offset=offsets)
def test_the_norm_beside_sq8_codes_is_that_of_what_they_decode_to(dim, seed, scale, offset):
    found, factors = encoded(rows(seed, 3, dim, scale, offset))
    expected = [naive.dot_f32(row, row) for row in decoded(found, factors)]
    assert factors[codes.NORM] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.25, 1e30])
@pytest.mark.parametrize("dim", [1, 5, 64])
def test_sq8_of_equal_components_is_exact(value, dim):
    found, factors = encoded(np.full((2, dim), value, np.float32))
    assert (decoded(found, factors) == np.float32(value)).all()
    assert factors[codes.STEP].tolist() == [0, 0]


def test_sq8_reaches_both_ends_of_its_range():
    found, _ = encoded(np.array([[-1.0, 1.0, 0.0], [5.0, 6.0, 7.0]], np.float32))
    assert (found.min(axis=1) == 0).all()
    assert (found.max(axis=1) == 255).all()


# -------------------------------------------------------------------------------------------------------- other factors


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_byte_factors_are_exact(dtype, dim, seed):
    info = np.iinfo(dtype)
    vectors = np.random.default_rng(seed).integers(info.min, info.max, (3, dim), dtype, endpoint=True)
    factors = np.empty((2, 3), np.int32)
    codes.byte_factors(vectors, factors)
    norms, sums = naive.byte_factors(vectors)
    assert factors[0].tolist() == norms
    assert factors[1].tolist() == sums


@pytest.mark.parametrize(("dtype", "value"), [(np.int8, -128), (np.uint8, 255)])
def test_byte_factors_hold_the_largest_rows(dtype, value):
    factors = np.empty((2, 1), np.int32)
    codes.byte_factors(np.full((1, 16_384), value, dtype), factors)
    assert factors.ravel().tolist() == [16_384 * value**2, 16_384 * value]


@every_dim(seed=1, scale=1.0)
@given(dim=dims, seed=seeds, scale=scales)
def test_inverse_norms_and_normalized_are_those_of_their_naive_twins(dim, seed, scale):
    vectors = rows(seed, 3, dim, scale)
    factors, unit = np.empty((1, 3), np.float32), np.empty_like(vectors)
    codes.inverse_norms(vectors, factors)
    codes.normalized(vectors, unit)
    assert factors[0] == pytest.approx(naive.inverse_norms(vectors), rel=1e-6)
    assert unit == pytest.approx(naive.normalized(vectors), rel=1e-6)


def test_normalized_leaves_zeros_and_works_in_place():
    vectors = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    codes.normalized(vectors, vectors)
    assert vectors == pytest.approx(np.array([[0.0, 0.0], [0.6, 0.8]]))


# ---------------------------------------------------------------------------------------------------- rows as they lie


@pytest.mark.parametrize(
    ("kind", "dtype", "unit", "n_factors", "width"),
    [
        (SQ8, np.float32, False, 3, 5),
        (SQ8, np.float16, True, 3, 5),
        (FLOAT32, np.float32, False, 0, 20),
        (FLOAT32, np.float32, True, 1, 20),
        (FLOAT16, np.float16, False, 0, 10),
        (FLOAT16, np.float16, True, 1, 10),
        (INT8, np.int8, True, 2, 5),
        (UINT8, np.uint8, False, 2, 5),
    ],
)
def test_encoded_rows_have_the_columns_of_their_kind(kind, dtype, unit, n_factors, width):
    vectors = (rows(0, 7, 5) * 10 + 40).astype(dtype)
    factors, found = encode_rows(vectors, kind, unit)
    assert factors.shape == (n_factors, 7)
    assert factors.dtype == np.uint32
    assert found.shape == (7, width)
    assert found.dtype == np.uint8
    if kind != SQ8:
        assert found.tobytes() == vectors.tobytes()


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(SQ8, np.float32), (FLOAT32, np.float32), (FLOAT16, np.float16), (INT8, np.int8), (UINT8, np.uint8)],
)
def test_no_rows_are_encoded_as_none(kind, dtype, unit):
    factors, found = encode_rows(np.empty((0, 5), dtype), kind, unit)
    whole_factors, whole = encode_rows(np.ones((1, 5), dtype), kind, unit)
    assert factors.shape == (len(whole_factors), 0)
    assert found.shape == (0, whole.shape[1])


def test_sq8_rows_under_cosine_are_codes_of_unit_vectors():
    vectors = rows(0, 4, 30, scale=50.0)
    factors, found = encode_rows(vectors, SQ8, True)
    assert np.linalg.norm(decoded(found, factors.view(np.float32)), axis=1) == pytest.approx(1.0, abs=0.01)


def test_float_rows_under_cosine_have_their_inverse_norms():
    vectors = rows(0, 4, 30)
    factors, _ = encode_rows(vectors, FLOAT32, True)
    assert factors.view(np.float32)[0] == pytest.approx(naive.inverse_norms(vectors), rel=1e-6)


# ------------------------------------------------------------------------------------------------------------ queries


def prepared(vector, metric):
    floats = np.empty(len(vector), np.float32)
    signed = np.full(-(-len(vector) // 64) * 64, 99, np.int8)
    scalars = np.empty(query.N_SCALARS, np.float32)
    query.prepare(vector, metric, floats, signed, scalars)
    return floats, signed, scalars


@pytest.mark.parametrize("metric", [L2, COSINE, IP])
@every_dim(seed=1, scale=1.0)
@given(dim=dims, seed=seeds, scale=scales)
def test_prepared_queries_are_those_of_the_naive_twin(metric, dim, seed, scale):
    if metric != COSINE:
        scale = min(scale, 1e4)  # the squared norm has to fit into float32
    vector = rows(seed, 1, dim, scale)[0]
    floats, signed, scalars = prepared(vector, metric)
    twin_floats, twin_signed, (twin_scale, twin_sum, _, twin_norm) = naive.prepare(vector, metric)
    largest = np.abs(twin_floats).max()
    assert floats == pytest.approx(twin_floats, rel=1e-6)
    assert np.abs(signed[:dim] - np.array(twin_signed)).max() <= 1
    assert (signed[dim:] == 0).all()
    assert np.abs(scalars[query.SCALE] * signed[:dim] - floats).max() <= 0.5001 * scalars[query.SCALE]
    assert scalars[query.SCALE] == pytest.approx(twin_scale, rel=1e-6)
    assert scalars[query.SUM] == pytest.approx(twin_sum, rel=1e-5, abs=1e-6 * dim * largest)
    assert scalars[query.SUM8] == signed.astype(int).sum()
    assert scalars[query.NORM2] == pytest.approx(twin_norm, rel=1e-5)


@pytest.mark.parametrize("metric", [L2, COSINE, IP])
def test_a_query_of_zeros_stays_zero(metric):
    floats, signed, scalars = prepared(np.zeros(5, np.float32), metric)
    assert not floats.any()
    assert not signed.any()
    assert not scalars.any()


@pytest.mark.parametrize("kind", [INT8, UINT8])
@every_dim(seed=1)
@given(dim=dims, seed=seeds)
def test_prepared_bytes_are_those_of_the_naive_twin(kind, dim, seed):
    info = np.iinfo(np.int8 if kind == INT8 else np.uint8)
    vector = np.random.default_rng(seed).integers(info.min, info.max, dim, endpoint=True).astype(np.float32)
    operand = np.full(-(-dim // 64) * 64, 99, np.uint8)
    norm = query.prepare_bytes(vector, kind, operand)
    expected, twin_norm = naive.prepare_bytes(vector, kind)
    assert operand[:dim].tolist() == expected
    assert (operand[dim:] == 0).all()
    assert norm == twin_norm


# ------------------------------------------------------------------------------------------------------------- checks

anything = st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.0, 3.0e38])
tables = arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 20)), elements=anything)


@given(vectors=tables, no_zero=st.booleans())
def test_first_bad_row_is_that_of_the_naive_twin(vectors, no_zero):
    assert check.first_bad_row(vectors, no_zero) == building.first_bad_row(vectors, no_zero)


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.uint8])
def test_first_bad_row_takes_every_dtype_that_is_stored(dtype):
    vectors = np.ones((4, 3), dtype)
    assert check.first_bad_row(vectors, True) == -1
    vectors[2] = 0
    assert check.first_bad_row(vectors, True) == 2
    assert check.first_bad_row(vectors, False) == -1


@pytest.mark.parametrize(
    ("value", "no_zero", "expected"), [(1e17, True, -1), (1e19, False, 0), (1e-19, True, 0), (1e-19, False, -1)]
)
def test_rows_whose_squares_leave_float32_are_bad(value, no_zero, expected):
    assert check.first_bad_row(np.full((1, 9), value, np.float32), no_zero) == expected


@given(
    vectors=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 20)),
        elements=st.sampled_from([0.0, 1.0, -7.0, 0.5, 3e9]),
    )
)
def test_first_fraction_is_that_of_the_naive_twin(vectors):
    assert check.first_fraction(vectors) == building.first_fraction(vectors)
