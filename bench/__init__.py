"""Benchmarks: data sets, contenders, measurements, plots. Uses the public API of Ramet only; nothing imports it."""
