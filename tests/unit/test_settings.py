"""Which variables are settings, and which only look like it."""

from __future__ import annotations

import pytest

from adapters import find_dialects
from gateway.settings import PREFIX, SettingsError, load_settings
from tests.unit.test_docs import names_of_settings


def faults(**environ: str) -> list[str]:
    """Return what is wrong with the settings in `environ`."""
    try:
        load_settings(environ, find_dialects())
    except SettingsError as error:
        return error.faults
    return []


def of_service(name: str, protocol: str = "TCP") -> dict[str, str]:
    """Return what Kubernetes sets for a Service, whose name is in capitals already."""
    url = f"{protocol.lower()}://10.0.0.1:9000"
    one = f"{name}_PORT_9000_{protocol}"
    return {
        f"{name}_SERVICE_HOST": "10.0.0.1",
        f"{name}_SERVICE_PORT": "9000",
        f"{name}_SERVICE_PORT_HTTP_METRICS": "9000",
        f"{name}_PORT": url,
        one: url,
        f"{one}_PROTO": protocol.lower(),
        f"{one}_PORT": "9000",
        f"{one}_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
@pytest.mark.parametrize(
    "name", ["KEYFERRY", "KEYFERRY_METRICS", "KEYFERRY_POOL_SIZE", "KEYFERRY_2_DATABASE"]
)
def test_services_of_kubernetes_are_ignored(name: str, protocol: str) -> None:
    environ = of_service(name, protocol)
    assert faults(**environ) == []
    assert load_settings(environ, find_dialects()).metrics_port is None


def test_no_setting_has_a_name_that_is_ignored_whatever_its_value() -> None:
    for name in names_of_settings():
        assert f"{PREFIX}{name}" not in of_service("KEYFERRY")
        assert faults(**{PREFIX + name: "\0"}), name


def test_the_port_for_metrics_is_read_beside_services() -> None:
    environ = of_service("KEYFERRY") | {"KEYFERRY_METRICS_PORT": "9187"}
    assert load_settings(environ, find_dialects()).metrics_port == 9187


def test_what_load_tests_are_told_by_is_ignored() -> None:
    assert faults(KEYFERRY_LOAD_RATE="50", KEYFERRY_LOAD_URL="http://localhost") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KEYFERRY_POOL_SIZ", "4"),
        ("KEYFERRY_METRICS_PROT", "tcp://10.0.0.1:9000"),
        ("KEYFERRY_METRICS_PORT", "9000/tcp"),
        ("KEYFERRY_METRICS_PORT", "http://10.0.0.1:9000"),
        ("KEYFERRY_PORT", "8787"),
        ("KEYFERRY_HOST", "localhost"),
        ("KEYFERRY_SERVICE", "x"),
        ("KEYFERRY_PORT_HTTP_TCP", "8787"),
        ("KEYFERRY_PORT_8787_QUIC", "8787"),
        ("KEYFERRY_LOADS", "1"),
    ],
)
def test_a_mistyped_setting_stays_a_fault(name: str, text: str) -> None:
    (fault,) = faults(**{name: text})
    assert fault.startswith(f"{name} ")
