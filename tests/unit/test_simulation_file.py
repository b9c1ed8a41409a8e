"""The file that says what to simulate: read strictly, and all its faults are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import Code
from gateway.simulation import (
    Behaviour,
    Fixed,
    LogNormal,
    RateLimit,
    Simulation,
    SimulationError,
    Uniform,
    read_simulation,
)

DIALECTS = ("cloudflare", "livepeer")
WHOLE = """
revocation_lag = 5

[cloudflare.latency]
kind = "lognormal"
p50 = 60
p99 = 400.5

[cloudflare.errors]
429 = 0.01
503 = 0.002

[cloudflare.rate_limit]
requests = 1200
seconds = 300

[livepeer]
latency = { kind = "uniform", min = 10, max = 20 }
rate_limit = { requests = 10, seconds = 1, style = "bucket", headers = false }
"""


def read(folder: Path, text: str) -> Simulation:
    file = folder / "file"
    file.write_text(text)
    return read_simulation(file, DIALECTS)


def faults_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(SimulationError) as caught:
        read(folder, text)
    return [fault.removeprefix(f"{folder / 'file'}: ") for fault in caught.value.faults]


def test_whole_file(tmp_path: Path) -> None:
    simulation = read(tmp_path, WHOLE)
    assert simulation == Simulation(
        {
            "cloudflare": Behaviour(
                LogNormal(60, 400.5),
                {Code.RATE_LIMITED: 0.01, Code.UNAVAILABLE: 0.002},
                RateLimit(1200, 300),
            ),
            "livepeer": Behaviour(Uniform(10, 20), {}, RateLimit(10, 1, "bucket", headers=False)),
        },
        5.0,
    )
    assert simulation.shown()["revocation_lag"] == 5.0
    assert simulation.shown()["livepeer"] == {
        "latency": {"kind": "uniform", "min": 10, "max": 20},
        "rate_limit": {"requests": 10, "seconds": 1, "style": "bucket", "headers": False},
    }


def test_a_dialect_alone(tmp_path: Path) -> None:
    simulation = read(tmp_path, 'livepeer.latency = { kind = "fixed", ms = 3 }')
    assert simulation == Simulation({"livepeer": Behaviour(Fixed(3))})


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = """
    revocation_lag = -1
    surprise = true
    livepeer = 3
    [cloudflare]
    extra = 1
    latency = { kind = "lognormal", p50 = 90, p99 = 40, tail = 1 }
    errors = { 429 = 0.9, 503 = 0.2, 502 = 0.1 }
    rate_limit = { requests = 0, seconds = 1.5, style = "leaky", headers = "no" }
    [other]
    """
    assert sorted(faults_of(tmp_path, text)) == [
        "cloudflare.errors has shares that add up to more than 1",
        "cloudflare.errors.502 is not known",
        "cloudflare.extra is not known",
        "cloudflare.latency.p50 should not be above p99",
        "cloudflare.latency.tail is not known",
        "cloudflare.rate_limit.headers should be true or false",
        "cloudflare.rate_limit.requests should be a whole number from 1 to 1000000000",
        "cloudflare.rate_limit.seconds should be a whole number from 1 to 86400",
        "cloudflare.rate_limit.style should be one of window, bucket",
        "livepeer should be a table",
        "other is not known",
        "revocation_lag should be a number from 0 to 3600",
        "surprise is not known",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "nothing is simulated"),
        ("livepeer.latency = {}", "should be one of fixed, uniform, lognormal"),
        ('livepeer.latency = { kind = "fixed" }', "ms should be a number from 0 to 60000"),
        ('livepeer.latency = { kind = "fixed", ms = nan }', "should be a number"),
        ('livepeer.latency = { kind = "fixed", ms = true }', "should be a number"),
        ('livepeer.latency = { kind = "uniform", min = 1, max = inf }', "should be a number"),
        ('livepeer.latency = { kind = "lognormal", p50 = 0, p99 = 1 }', "from 0.1 to 60000"),
        ("livepeer.errors = { 429 = 1.5 }", "should be a number from 0 to 1"),
        ("livepeer.rate_limit = { requests = 1 }", "seconds should be a whole number"),
        ("livepeer.rate_limit = [1]", "should be a table"),
        ("livepeer = ", "Invalid value"),
    ],
)
def test_faults(tmp_path: Path, text: str, fault: str) -> None:
    [told] = faults_of(tmp_path, text)
    assert fault in told


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="No such file"):
        read_simulation(tmp_path / "absent", DIALECTS)
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(SimulationError, match="utf-8"):
        read_simulation(tmp_path / "file", DIALECTS)


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "load.md"
    example = page.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    simulation = read(tmp_path, example)
    assert simulation.dialects.keys() == set(DIALECTS)
    assert simulation.revocation_lag == 30
