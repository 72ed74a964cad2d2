import pytest

from lightprune.sparse.codegen import emit


@pytest.fixture
def many_chunks(monkeypatch):
    """Threads share every operation, however small."""
    monkeypatch.setattr(emit, "_WORTH_SHARING", 0.0)
    monkeypatch.setattr(emit, "_WORTH_CHUNKS", 10.0)
