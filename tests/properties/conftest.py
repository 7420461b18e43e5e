"""How properties are tried."""

from hypothesis import settings

from tests import needs

#: Of each property, when only the fast tests run.
FAST_EXAMPLES = 20

# How long an example takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None)
settings.register_profile("fast", settings.get_profile("unhurried"), max_examples=FAST_EXAMPLES)
settings.load_profile("fast" if needs.fast else "unhurried")
