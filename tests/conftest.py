"""Fixtures that several rooms share."""

pytest_plugins = ["tests.s3_server"]
