"""The cost model: fitted, saved, turned round into budgets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.engine.errors import ArgumentError
from ramet.engine.rag.calibration import calibrate_llm
from ramet.engine.rag.cost import CostModel, Measured, Prices
from ramet.engine.rag.llm.extractive import Extractive
from ramet.engine.rag.llm.openai import OpenAiLlm
from tests.engine.llm_server import LlmServer


def first_token(p):
    return 0.05 + 2e-4 * p + 1e-7 * p * p


def measurements(g=0.02, noise=0.0, outputs=(1, 8, 32), sizes=(64, 128, 256, 512, 1024), seed=0):
    rng = np.random.default_rng(seed)
    return [
        Measured(prompt_tokens=p, output_tokens=o, seconds=first_token(p) + (o - 1) * g + noise * abs(rng.normal()))
        for p in sizes
        for o in outputs
        for _ in range(2)
    ]


@pytest.mark.parametrize("outputs", [(1, 8, 32), (4, 32)])
def test_exact_measurements_give_the_model_back(outputs):
    model = CostModel.fit(measurements(outputs=outputs), backend="b")
    assert model.per_token == pytest.approx(0.02)
    assert model.r2 == pytest.approx(1.0)
    assert model.max_error < 1e-9
    for p in (64, 256, 1024):
        assert model.seconds(p, 10) == pytest.approx(first_token(p) + 9 * 0.02)
    assert model.seconds(96, 1) == pytest.approx((first_token(64) + first_token(128)) / 2)  # linear between
    assert model.seconds(10, 1) == pytest.approx(first_token(64))  # and flat below
    slope = (first_token(1024) - first_token(512)) / 512
    assert model.seconds(2048, 1) == pytest.approx(first_token(1024) + 1024 * slope)


def test_noise_moves_it_a_little():
    model = CostModel.fit(measurements(noise=0.01))
    assert model.per_token == pytest.approx(0.02, rel=0.1)
    assert 0.9 < model.r2 <= 1.0
    assert 0 < model.max_error < 0.1
    assert list(model.first_token) == sorted(model.first_token)


def test_times_that_fall_do_not():
    falling = [
        Measured(prompt_tokens=p, output_tokens=o, seconds=s + o) for p, s in ((10, 3.0), (20, 1.0)) for o in (1, 2)
    ]
    model = CostModel.fit(falling)
    assert model.first_token == (4.0, 4.0)


@given(st.floats(0.06, 5), st.integers(1, 40))
def test_the_budget_is_the_largest_that_keeps_the_time(limit, output):
    model = CostModel.fit(measurements())
    if model.seconds(1, output) > limit:
        with pytest.raises(ArgumentError, match="at least"):
            model.tokens_for(latency_ms=1e3 * limit, output_tokens=output)
        return
    tokens = model.tokens_for(latency_ms=1e3 * limit, output_tokens=output)
    assert model.seconds(tokens, output) <= limit + 1e-12
    assert tokens == 1024 or model.seconds(tokens + 1, output) > limit


@given(st.floats(0.001, 1), st.integers(1, 100))
def test_the_budget_is_the_largest_that_keeps_the_cost(cost, output):
    model = CostModel(backend="b", prices=Prices(input_per_million=3.0, output_per_million=15.0))
    if model.cost(1, output) > cost:
        with pytest.raises(ArgumentError, match="costs at least"):
            model.tokens_for(cost=cost, output_tokens=output)
        return
    tokens = model.tokens_for(cost=cost, output_tokens=output)
    assert model.cost(tokens, output) <= cost < model.cost(tokens + 1, output)


def test_a_machine_by_the_hour_costs_what_its_time_costs():
    model = CostModel.fit(measurements(), prices=Prices(per_hour=3600.0))
    assert model.cost(256, 5) == pytest.approx(model.seconds(256, 5))
    tokens = model.tokens_for(cost=0.2, output_tokens=5)
    assert model.cost(tokens, 5) <= 0.2 < model.cost(tokens + 1, 5)
    assert model.tokens_for(cost=0.2, latency_ms=150, output_tokens=5) < tokens


def test_it_is_saved_and_read(tmp_path):
    model = CostModel.fit(measurements(), backend="openai:x", prices=Prices(input_per_million=1.5))
    model.save(tmp_path / "cost.json")
    assert CostModel.load(tmp_path / "cost.json") == model
    only_prices = CostModel(backend="x", prices=Prices(input_per_million=1.0))
    only_prices.save(tmp_path / "prices.json")
    again = CostModel.load(tmp_path / "prices.json")
    assert math.isnan(again.r2) and again.prices == only_prices.prices


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', '{"version": 9, "backend": "x"}', '{"version": 1, "x": 2}']
)
def test_files_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ArgumentError, match="no cost model"):
        CostModel.load(tmp_path / "c.json")
    with pytest.raises(ArgumentError, match="cannot be read"):
        CostModel.load(tmp_path / "none.json")


def one(p, o, t=1.0):
    return Measured(prompt_tokens=p, output_tokens=o, seconds=t)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: CostModel.fit([]), "measured"),
        (lambda: CostModel.fit([one(5, 1), one(5, 1)]), "measured"),
        (lambda: CostModel.fit([one(5, 3), one(5, 3)]), "measured"),
        (lambda: CostModel.fit([one(0, 3), one(5, 1)]), "measured"),
        (lambda: CostModel.fit([one(4, 3, float("nan")), one(5, 1)]), "measured"),
        (lambda: Prices(input_per_million=-1), "input_per_million"),
        (lambda: CostModel(backend="b").tokens_for(latency_ms=100), "latency_ms"),
        (lambda: CostModel(backend="b").tokens_for(cost=1), "cost"),
        (lambda: CostModel(backend="b", prices=Prices(per_hour=1.0)).tokens_for(cost=1), "cost"),
        (lambda: CostModel(backend="b").tokens_for(), "budget"),
        (lambda: CostModel.fit(measurements()).tokens_for(latency_ms=-1), "latency_ms"),
        (lambda: calibrate_llm(Extractive(), prompts=()), "prompts"),
        (lambda: calibrate_llm(Extractive(), outputs=(0,)), "outputs"),
        (lambda: calibrate_llm(Extractive(), prompts=(64,), outputs=(1, 2)), "llm"),
    ],
)
def test_wrong_arguments_are_named(call, argument):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.argument == argument


def test_a_backend_is_measured():
    done = []
    with LlmServer() as server:
        llm = OpenAiLlm("counting", server.base_url, count="server")
        model = calibrate_llm(
            llm, prompts=(64, 256), outputs=(1, 20), repeats=2, progress=lambda i, n: done.append((i, n))
        )
        llm.close()
        prompts = [asked["messages"][0]["content"] for asked in server.asked]
    assert done[-1] == (8, 8)
    assert (model.n_measured, model.backend) == (8, llm.name)
    assert model.prompt_tokens == (64 - llm.overhead, 256 - llm.overhead)  # the server's format has no marks
    assert len({prompt[:12] for prompt in prompts}) == 9  # one before, for warmth; none begins as another
    assert 0.0005 < model.per_token  # it sleeps 1 ms for every token
