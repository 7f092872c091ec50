"""Page cache kernels on a real file: what is missing, and starting to read it."""

import mmap
import os
import time

import numpy as np
import pytest

from ramet.index.kernels import memory
from tests.oracle import kernels as naive

PAGE = memory.PAGE
N_PAGES = 96


class MappedFile:
    """A file of `N_PAGES` pages, mapped, of which nothing is in the page cache."""

    def __init__(self, path):
        path.write_bytes(os.urandom(N_PAGES * PAGE))
        self._file = os.open(path, os.O_RDWR)
        os.fsync(self._file)
        self._map = mmap.mmap(self._file, N_PAGES * PAGE)
        self._map.madvise(mmap.MADV_RANDOM)  # a page that is touched brings no neighbours along
        self._view = np.frombuffer(self._map, np.uint8)
        self.address = self._view.ctypes.data
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def touch(self, page):
        return int(self._view[page * PAGE])

    def missing(self, first=0, last=N_PAGES):
        flags = np.zeros(N_PAGES + 1, np.uint8)
        return memory.missing_pages(np.uintp(self.address + first * PAGE), np.uintp((last - first) * PAGE), flags)

    def will_need(self, spans):
        """Ask for spans given in bytes from the start; returns what the kernel returns and wrote."""
        array = np.array([[self.address + low, self.address + high] for low, high in spans], np.uint64).reshape(-1, 2)
        absent = memory.will_need(array, len(spans), np.zeros(N_PAGES + 1, np.uint8))
        return absent, [(int(low) - self.address, int(high) - self.address) for low, high in array]

    def becomes_resident(self, first, last):
        """Whether the pages arrive; reading goes on behind the call, so this waits for them, but not for ever."""
        for _ in range(1000):
            if self.missing(first, last) == 0:
                return True
            time.sleep(0.01)
        return False


@pytest.fixture
def cold(tmp_path):
    mapped = MappedFile(tmp_path / "pages")
    if mapped.missing() != N_PAGES:
        pytest.skip("this file system keeps pages in memory whatever it is told")
    return mapped


def test_a_cold_file_misses_all_pages_and_a_touched_page_is_there(cold):
    assert cold.missing() == N_PAGES
    cold.touch(5)
    assert cold.missing() == N_PAGES - 1
    assert cold.missing(5, 6) == 0
    assert cold.missing(4, 7) == 2


def test_missing_pages_are_those_of_the_naive_twin(cold):
    for page in (0, 3, 4, 40, N_PAGES - 1):
        cold.touch(page)
    flags = np.zeros(N_PAGES + 1, np.uint8)
    for start, size in [(0, 1), (1, PAGE), (PAGE - 1, 2), (3 * PAGE, 2 * PAGE), (17, N_PAGES * PAGE - 17), (0, 0)]:
        found = memory.missing_pages(np.uintp(cold.address + start), np.uintp(size), flags)
        assert found == naive.missing_pages(cold.address + start, size)


def test_missing_pages_looks_no_further_than_its_scratch(cold):
    assert memory.missing_pages(np.uintp(cold.address), np.uintp(N_PAGES * PAGE), np.zeros(7, np.uint8)) == 7


def test_missing_pages_of_no_mapping_are_none():
    """Nothing is mapped in the first pages of a process: there is nothing to wait for."""
    assert memory.missing_pages(np.uintp(PAGE), np.uintp(PAGE), np.zeros(1, np.uint8)) == 0


def test_will_need_reads_the_spans_and_counts_the_absent_ones(cold):
    cold.touch(50)
    spans = [(60 * PAGE, 62 * PAGE), (10 * PAGE + 100, 12 * PAGE + 1), (50 * PAGE, 51 * PAGE)]
    in_order, expected = naive.will_need([(cold.address + low, cold.address + high) for low, high in spans])
    absent, written = cold.will_need(spans)
    assert absent == expected == 2
    assert written == [(low - cold.address, high - cold.address) for low, high in in_order]
    assert cold.becomes_resident(60, 62)
    assert cold.becomes_resident(10, 13)


def test_will_need_reads_neighbours_together_with_the_gap_between_them(cold):
    gap = memory.GAP_PAGES
    absent, _ = cold.will_need([(20 * PAGE, 21 * PAGE), ((21 + gap) * PAGE, (22 + gap) * PAGE)])
    assert absent == 2
    assert cold.becomes_resident(20, 22 + gap)


def test_will_need_leaves_wide_gaps_alone(cold):
    os.posix_fadvise(cold._file, 0, 0, os.POSIX_FADV_RANDOM)  # the file's own read-ahead would fill the gap
    absent, _ = cold.will_need([(0, PAGE), (90 * PAGE, 91 * PAGE)])
    assert absent == 2
    assert cold.becomes_resident(0, 1)
    assert cold.becomes_resident(90, 91)
    assert cold.missing(40, 60) == 20


def test_will_need_of_cached_spans_or_of_none_reads_nothing(cold):
    cold.touch(7)
    cold.touch(8)
    assert cold.will_need([(7 * PAGE + 5, 9 * PAGE)])[0] == 0
    assert cold.will_need([])[0] == 0
    assert cold.missing() == N_PAGES - 2


def test_major_faults_are_those_that_the_system_counts(cold):
    words = np.zeros(32, np.int64)
    before = memory.major_faults(words)
    assert before == naive.major_faults()
    cold.touch(30)
    assert memory.major_faults(words) == naive.major_faults() > before
