"""Curves for hypothesis."""

from hypothesis import strategies as st

from lightprune.sensitivity.accuracy_curve import Curve

DROPS = st.floats(-0.2, 1)


@st.composite
def layers(draw, name="layer"):
    """A curve through noisy measurements of a layer, of which some may be pruned already."""
    weights = draw(st.integers(1, 3000))
    zeros = sorted(draw(st.sets(st.integers(0, weights), min_size=1, max_size=6)))
    measured = {count: draw(DROPS) for count in zeros[1:]}
    return Curve.through(name, weights, zeros[0], measured)


@st.composite
def networks(draw):
    """Curves of several layers."""
    return [draw(layers(f"{number}.weight")) for number in range(draw(st.integers(1, 6)))]
