import pytest

from lightprune.sparse.codegen import emit
from lightprune.sparse.runtime import thread_choice


@pytest.fixture
def many_chunks(monkeypatch):
    """All threads share every operation, however small."""
    monkeypatch.setattr(emit, "_WORTH_SHARING", 0.0)
    monkeypatch.setattr(emit, "_WORTH_CHUNKS", 10.0)
    monkeypatch.setattr(thread_choice, "_CALLS_PER_TURN", 0)
