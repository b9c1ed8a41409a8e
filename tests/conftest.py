"""Fixtures for all tests: one PostgreSQL and one running Keyferry per test session."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import House, Tenant, make_tenant, open_folder, serve


def pytest_configure() -> None:
    """Let Ctrl-C work in the processes that tests start.

    A shell that runs us in the background has us ignore it, which children inherit.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let `make test ARGS=FILE` pass, though only one of its two runs has something to do."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """PostgreSQL with Keyferry's schema."""
    with open_folder() as folder, House(folder / "data") as house:
        yield house


@pytest.fixture(scope="session")
def service_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the running Keyferry writes to standard error."""
    return tmp_path_factory.mktemp("service") / "log"


@pytest.fixture(scope="session")
def service(house: House, service_log: Path) -> Iterator[Tenant]:
    """A running Keyferry, as its first tenant sees it."""
    with serve(house, service_log) as (url, _):
        yield make_tenant(house, url)
