"""Numbers as people write them."""

import pytest

from lightprune.rendering.number_format import about, megabytes, milliseconds


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (milliseconds(0.000203), "0.203"),
        (milliseconds(0.0999), "99.9"),
        (milliseconds(1.1849), "1185"),
        (megabytes(910_000), "0.91 MB"),
        (megabytes(548_000_000), "548 MB"),
        (about(9 * 3600), "about 9 h"),
        (about(130 * 3600), "about 130 h"),
    ],
)
def test_no_number_has_an_exponent(shown, expected):
    assert shown == expected
