import pytest

from lightprune.sparse.codegen import emit as rows


@pytest.fixture
def many_chunks(monkeypatch):
    """Threads share every operation, however small."""
    monkeypatch.setattr(rows, "_WORTH_SHARING", 0.0)
    monkeypatch.setattr(rows, "_WORTH_CHUNKS", 10.0)
