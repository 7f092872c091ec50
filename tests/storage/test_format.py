"""Arithmetic of the layout and header pages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.storage.errors import CorruptionError, FormatError
from ramet.storage.format import (
    CAPACITY_STEP,
    MAGIC,
    PAGE_BYTES,
    ListLayout,
    check_header,
    check_settings,
    pack_header,
)

layouts = st.builds(ListLayout, n_factors=st.integers(0, 6), code_bytes=st.integers(0, 4096))


@given(layouts, st.integers(0, 20_000), st.sampled_from([0.0, 0.1, 0.25, 1.0]))
def test_a_list_gets_the_smallest_extent_that_holds_it(layout, n, slack):
    pages = int(layout.pages_for([n], slack)[0])
    wanted = int(np.ceil(max(n, 1) * (1 + slack)))
    assert layout.capacity_for(pages) >= wanted
    assert pages == 1 or layout.capacity_for(pages - 1) < wanted


@given(layouts, st.integers(1, 200))
def test_columns_are_aligned_and_stay_inside_their_extent(layout, n_pages):
    capacity = layout.capacity_for(n_pages)
    assert capacity % CAPACITY_STEP == 0
    offsets = [layout.factor_offset(capacity, f) for f in range(layout.n_factors)] + [layout.codes_offset(capacity)]
    assert all(offset % 64 == 0 for offset in offsets)
    assert layout.codes_offset(capacity) + capacity * layout.code_bytes <= n_pages * PAGE_BYTES
    assert layout.capacities_for(np.array([n_pages], np.uint32)).tolist() == [capacity]


@pytest.mark.parametrize("name", sorted(MAGIC))
def test_a_header_is_accepted_by_its_own_collection_only(name):
    page = pack_header(name, b"a" * 16)
    assert len(page) == PAGE_BYTES
    check_header("f", name, page, b"a" * 16)
    check_header("f", name, page, None)
    with pytest.raises(FormatError, match="of another|one of collection"):
        check_header("f", name, page, b"b" * 16)


def test_headers_that_are_foreign_newer_short_or_damaged_are_refused_by_name():
    name = "postings.bin"
    page = bytearray(pack_header(name, b"a" * 16))
    with pytest.raises(FormatError, match=r"dir/postings\.bin.*RAMETPST.*PNG"):
        check_header("dir/postings.bin", name, b"\x89PNG\r\n\x1a\n".ljust(PAGE_BYTES, b"\0"), None)
    with pytest.raises(FormatError, match="format version 4"):
        check_header("f", name, bytes(page[:8] + b"\4" + page[9:]), None)
    with pytest.raises(CorruptionError, match="header"):
        check_header("f", name, bytes(page[:20] + b"\xff" + page[21:]), None)
    with pytest.raises(CorruptionError, match="4096 bytes"):
        check_header("f", name, b"", None)


@pytest.mark.parametrize("wrong", [None, -1, 1.5, True, "8"])
def test_settings_need_the_four_sizes(wrong):
    good = {"n_factors": 0, "code_bytes": 1, "cell_bytes": 2, "vector_bytes": 3, "anything": ["else"]}
    assert check_settings(good) == good
    with pytest.raises(ValueError, match="cell_bytes"):
        check_settings({**good, "cell_bytes": wrong})
