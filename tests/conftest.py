"""How the whole suite runs: the same examples every time, however slow the machine.

`make test ARGS=--hypothesis-profile=explore` looks for new examples instead.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
