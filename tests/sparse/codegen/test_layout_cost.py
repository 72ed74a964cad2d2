"""What the caches of a machine make of the cost of an executable."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.codegen.layout_cost import CacheSizes, cache_sizes, estimated_seconds
from lightprune.sparse.isa.register_blocks import LANES
from tests.sparse.programs import programs


def write_caches(folder, *caches):
    for number, cache in enumerate(caches):
        (folder / f"index{number}").mkdir()
        for name, value in zip(("level", "size", "shared_cpu_map"), cache, strict=True):
            (folder / f"index{number}" / name).write_text(f"{value}\n", "utf-8")
    return folder


def test_the_last_cache_is_shared_by_the_cores_that_use_it(tmp_path):
    caches = (1, "48K", "00000001"), (2, "2048K", "1"), (3, "32768K", "ff,00000000")

    assert cache_sizes(write_caches(tmp_path, *caches)) == CacheSizes(2 * 2**20, 4 * 2**20)


def test_the_second_cache_may_be_the_last(tmp_path):
    caches = write_caches(tmp_path, (1, "32K", "1"), (2, "4096K", "f"))

    assert cache_sizes(caches) == CacheSizes(2**20, 2**20)


@pytest.mark.parametrize("caches", [(), [(2, "", "1")], [("?", "1024K", "1")], [(3, "9K", "0")]])
def test_usual_sizes_stand_for_those_that_are_not_told(tmp_path, caches):
    assert cache_sizes(write_caches(tmp_path, *caches)) == CacheSizes()


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="needs a POSIX system")
def test_the_sizes_of_this_machine_are_plausible():
    caches = cache_sizes()

    assert 2**15 <= caches.second <= caches.last_share <= 2**31


@settings(max_examples=5)
@given(programs(), st.lists(st.integers(0, 2**18), min_size=2, max_size=2))
def test_smaller_caches_slow_down_images_in_lanes_alone(program, sizes):
    small, large = sorted(sizes)
    single, batched = compile_program(program, 1), compile_program(program, LANES)

    def seconds(executable, size):
        return estimated_seconds(executable, CacheSizes(size, 4 * size))

    assert seconds(single, small) == seconds(single, large) > 0
    assert seconds(batched, 0) > seconds(batched, 2**31) > 0
    assert seconds(batched, small) >= seconds(batched, large)
