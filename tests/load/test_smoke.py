"""The load test itself works, and Keyferry takes a little load without a wrong answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.load.profiles import PROFILES
from tests.load.run import given_server, own_server, run
from tests.load.watch import Sample, describe

SMOKE = PROFILES["smoke"]
TOKEN = "kf_token"
LIVE_KEYS = "SELECT count(*) AS n FROM signing_keys WHERE deleted_at IS NULL"


@pytest.mark.alone
def test_smoke(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with own_server(SMOKE, tmp_path) as target:
        result = run(SMOKE, target, tmp_path)
        assert target.server is not None
        house, _ = target.server
        left = house.run(house.database.fetchrow(LIVE_KEYS))
    page = capfd.readouterr().out
    assert result.status == 0, page
    assert left["n"] == 0
    assert "Every threshold holds." in page
    assert "<html" in result.report.read_text("utf-8")
    metrics = json.loads(result.figures.read_text())["metrics"]
    assert metrics["http_reqs"]["values"]["count"] > 300
    assert metrics["checks"]["values"]["rate"] == 1
    routes = [name for name in metrics if name.startswith("http_req_duration{name:")]
    assert len(routes) == 13
    assert all(metrics[name]["values"]["count"] for name in routes), page
    for secret in (account["token"] for account in target.accounts):
        assert secret not in result.figures.read_text() + result.report.read_text("utf-8") + page


def test_a_server_of_ones_own_choice(tmp_path: Path) -> None:
    one = {"KEYFERRY_LOAD_URL": "https://staging.example/", "KEYFERRY_LOAD_TOKEN": TOKEN}
    target = given_server(one | {"KEYFERRY_LOAD_ACCOUNT": "0" * 32})
    assert (target.url, target.server) == ("https://staging.example", None)
    assert target.accounts == [{"account": "0" * 32, "token": TOKEN}]
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps([{"account": "0" * 32, "token": TOKEN}] * 2))
    several = one | {"KEYFERRY_LOAD_ACCOUNTS": str(file)}
    assert len(given_server(several).accounts) == 2
    with pytest.raises(ValueError, match="KEYFERRY_LOAD_ACCOUNT"):
        given_server(one)
    with pytest.raises(ValueError, match="http"):
        given_server(one | {"KEYFERRY_LOAD_URL": "ftp://staging.example"})
    file.write_text("{}")
    with pytest.raises(ValueError, match="list of accounts"):
        given_server(several)


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "-m", "tests.load.run", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    for word in (*PROFILES, "KEYFERRY_LOAD_URL", "KEYFERRY_LOAD_TOKEN"):
        assert word in ended.stdout


def test_what_grows_is_seen() -> None:
    samples = [Sample(second, 50 + second / 6, 20, 8) for second in range(0, 300, 5)]
    memory, descriptors, connections = describe(samples)
    assert memory.endswith("slope +10.00 per minute")
    assert descriptors.endswith("20.0 to 20.0, at most 20.0, slope +0.00 per minute")
    assert connections.endswith("slope +0.00 per minute")
    assert describe(samples[:10]) == describe([]) != []
