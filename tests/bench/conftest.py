"""A Python without the packages that ONNX needs."""

import pytest

from lightprune.bench import backends
from lightprune.export import onnx_file


@pytest.fixture
def no_onnx(monkeypatch):
    """Quicker, too."""
    find = backends.find_spec
    for module in (backends, onnx_file):
        monkeypatch.setattr(
            module, "find_spec", lambda name: None if "onnx" in name else find(name)
        )
