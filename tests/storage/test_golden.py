"""Collections written by the release that introduced each format version open for ever."""

import shutil
from pathlib import Path

import pytest

from ramet.storage.format import FORMAT_VERSION
from ramet.storage.verify import verify_path
from tests.storage import world
from tests.storage.world import Store

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir() and path.name.startswith("v"))


def test_there_is_a_golden_collection_of_this_version():
    assert f"v{FORMAT_VERSION}" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_collection_opens_and_can_be_written(tmp_path, version):
    shutil.copytree(GOLDEN / version, tmp_path / "c")
    assert sum(path.stat().st_size for path in (tmp_path / "c").iterdir()) < 100_000
    report = verify_path(tmp_path / "c")
    assert report.ok, report.problems[:3]
    model = world.replayed(2, 12)
    with Store.open(tmp_path / "c") as store:
        assert store.settings == world.SETTINGS
        world.assert_sound(store, model)
        world.commit(store, model, 3, 12)
        world.assert_sound(store, model)
