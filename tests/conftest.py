"""Fixtures that several rooms share, and how tests are dealt out to processes."""

from __future__ import annotations

from typing import Any

import pytest

pytest_plugins = ["tests.s3_server", "tests.postgres_server"]

# Modules whose tests share servers or a project that take long to make: one process runs each, and
# the two of one stack.
TOGETHER = {
    "tests/contracts/test_registry_server.py": "registry server",
    "tests/e2e/test_container_stack.py": "container stack",
    "tests/e2e/test_flights.py": "flights",
    "tests/e2e/test_operator.py": "stack",
    "tests/e2e/test_server_kills.py": "server kills",
    "tests/e2e/test_stack.py": "stack",
    "tests/e2e/test_stack_kills.py": "kills",
    "tests/flows/test_cli.py": "cli",
    "tests/flows/test_revoke.py": "revoke",
    "tests/flows/test_revoke_where.py": "revoke where",
    "tests/flows/test_suite.py": "suite",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each test by itself to whoever is free, but for those of :data:`TOGETHER`, which come first.

    That is ``--dist loadgroup``, whose marks pytest-xdist 3.8 does not see under pytest 9.2.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.split("::", maxsplit=1)[0]
            return TOGETHER.get(module, nodeid)

    return Together(config, log)
