"""A Python without the packages that ONNX needs."""

import pytest

from lightprune.export import onnx_file


@pytest.fixture
def no_onnx(monkeypatch):
    """Quicker, too."""
    find = onnx_file.find_spec
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if "onnx" in name else find(name))
