"""The garbage collector stands still only while it is asked to."""

import gc

import pytest

from lightprune.garbage_collector import paused_collector


def test_a_pause_ends_with_what_exists_left_out_of_later_collections():
    with paused_collector():
        assert not gc.isenabled()
        kept = [[]]

    assert gc.isenabled()
    assert not any(kept is one for one in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_a_failed_import_ends_the_pause():
    with pytest.raises(ImportError), paused_collector():
        raise ImportError

    assert gc.isenabled()
