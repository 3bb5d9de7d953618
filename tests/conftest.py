"""Fixtures that several rooms share."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.s3_server", "tests.postgres_server"]

# How fast inputs are drawn says how busy the machine is, not whether the code is right.
settings.register_profile("any machine", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
