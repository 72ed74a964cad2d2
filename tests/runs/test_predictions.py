from hypothesis import given
from hypothesis import strategies as st

from lightprune.runs.predictions import read_predictions, write_predictions

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)))


@given(pairs=PAIRS)
def test_what_is_written_is_read_back(tmp_path_factory, pairs):
    file = tmp_path_factory.mktemp("predictions") / "predictions.csv"
    labels, predicted = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    write_predictions(file, labels, predicted)

    assert read_predictions(file) == (labels, predicted)
