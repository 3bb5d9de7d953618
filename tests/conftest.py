"""Fixtures that several rooms share."""

pytest_plugins = ["tests.s3_server", "tests.postgres_server"]
