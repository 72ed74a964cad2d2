"""One hypothesis profile: the same examples on every machine, however busy it is."""

from hypothesis import settings

settings.register_profile("lightprune", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("lightprune")
