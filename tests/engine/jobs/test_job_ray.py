"""What goes wrong on a Ray cluster in the middle of a job."""

import os
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from ramet.engine.jobs import errors
from ramet.engine.jobs.place import Place
from ramet.storage.errors import StorageFullError

ray = pytest.importorskip("ray")

# Ray warns of its own future.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def units():
    """What runs units, on a cluster of two workers."""
    from ramet.engine.jobs.ray_units import RayUnits

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield RayUnits("auto", 2, 1 << 28)
    ray.shutdown()


def run(units, monkeypatch, path, act):
    """Run two units, which call a function; what the job sees of them."""
    place = Place(path)
    place.put_json("job.json", {})
    monkeypatch.setattr(units, "_run", ray.remote(num_cpus=1, max_retries=0, retry_exceptions=False)(act))
    return list(units(SimpleNamespace(name="group", _work=SimpleNamespace(place=place)), [0, 1]))


def test_a_lost_worker_is_an_error_that_says_how_to_go_on(units, monkeypatch, tmp_path):
    def dies(*_):
        os._exit(1)

    with pytest.raises(errors.JobLostError, match=r"resume=True") as caught:
        run(units, monkeypatch, tmp_path / "job", dies)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [StorageFullError("/data", "no room", "make room"), OSError(28, "no room"), KeyError(1)]
)
def test_an_error_of_a_unit_is_that_of_the_job(units, monkeypatch, tmp_path, error):
    def fails(*_):
        raise error

    with pytest.raises(type(error)) as caught:
        run(units, monkeypatch, tmp_path / "job", fails)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)


def test_no_task_is_at_work_when_the_job_has_failed(units, monkeypatch, tmp_path):
    def fails_or_takes_long(_path, _name, unit, _begun):
        if unit == 0:
            while not (tmp_path / "began").exists():
                time.sleep(0.01)
            raise ValueError
        (tmp_path / "began").touch()
        try:
            while True:
                time.sleep(0.01)
        finally:
            ending = time.monotonic() + 0.5
            while time.monotonic() < ending:
                with suppress(KeyboardInterrupt):  # asked again while it ends
                    time.sleep(0.01)
            (tmp_path / "ended").touch()

    with pytest.raises(ValueError, match="^$"):
        run(units, monkeypatch, tmp_path / "job", fails_or_takes_long)
    assert (tmp_path / "ended").exists()


def test_a_task_that_does_not_hear_is_killed(units, monkeypatch, tmp_path):
    def fails_or_is_deaf(_path, _name, unit, _begun):
        if unit == 0:
            while not (tmp_path / "began").exists():
                time.sleep(0.01)
            raise ValueError
        (tmp_path / "began").touch()
        while True:
            try:
                (tmp_path / "alive").write_text(str(time.time()))
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass

    monkeypatch.setattr("ramet.engine.jobs.ray_units.INTERRUPT_S", 0.5)
    with pytest.raises(ValueError, match="^$"):
        run(units, monkeypatch, tmp_path / "job", fails_or_is_deaf)
    time.sleep(0.5)  # a process that was killed is gone a moment later
    last = (tmp_path / "alive").read_text()
    time.sleep(0.3)
    assert (tmp_path / "alive").read_text() == last
