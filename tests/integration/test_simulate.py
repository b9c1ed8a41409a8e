"""`keyferry serve --simulate FILE`: real servers that misbehave as told, and never by accident."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import jwt
import pytest

from tests.fleet import until
from tests.service import House, Tenant, make_tenant, serve

SIMULATION = """
revocation_lag = 1.5

[cloudflare]
latency = { kind = "fixed", ms = 25 }
rate_limit = { requests = 5, seconds = 300 }

[livepeer.errors]
429 = 0.1
500 = 0.1
503 = 0.1
"""
MARK = "X-Keyferry-Simulated"
VIDEO = "a-video"
LIVEPEER = "/api/access-control/signing-key"


def cloudflare(tenant: Tenant) -> str:
    return f"/client/v4/accounts/{tenant.account_id}/stream/keys"


def client(tenant: Tenant) -> httpx2.Client:
    bearer = {"Authorization": f"Bearer {tenant.token}"}
    return httpx2.Client(base_url=tenant.url, headers=bearer, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("simulate") / "staging.toml"
    file.write_text(SIMULATION)
    return file


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulate") / "log"


@pytest.fixture(scope="module")
def staged(house: House, file: Path, log: Path) -> Iterator[Tenant]:
    with serve(house, log, options=("--simulate", str(file))) as (url, _):
        yield make_tenant(house, url)


def test_off_by_default(service: Tenant) -> None:
    with client(service) as http:
        assert "simulation" not in http.get("/readyz").json()
        for path in (cloudflare(service), LIVEPEER):
            assert MARK not in http.get(path).raise_for_status().headers


def test_no_variable_turns_it_on(house: House, file: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="KEYFERRY_SIMULATE is not a setting"),
        serve(house, tmp_path / "log", {"KEYFERRY_SIMULATE": str(file)}),
    ):
        pass


def test_it_is_named_loudly(staged: Tenant, log: Path) -> None:
    with client(staged) as http:
        shown = http.get("/readyz").json()["simulation"]
    assert shown["revocation_lag"] == 1.5
    assert shown["cloudflare"]["latency"] == {"kind": "fixed", "ms": 25}
    assert shown["livepeer"] == {
        "errors": {"rate_limited": 0.1, "internal": 0.1, "unavailable": 0.1}
    }
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [warning] = [line for line in lines if line["event"].startswith("answers are simulated")]
    assert warning["level"] == "warning"
    assert {name: warning[name] for name in shown} == shown


def test_latency_and_the_rate_limit(staged: Tenant) -> None:
    tenant = staged.make_account()
    with client(tenant) as http:
        for left in (4, 3, 2, 1, 0):
            began = time.monotonic()
            answer = http.get(cloudflare(tenant))
            assert time.monotonic() - began >= 0.025
            assert (answer.status_code, answer.headers[MARK]) == (200, "latency")
            assert answer.headers["Ratelimit"].startswith(f'"default";r={left};t=')
            assert answer.headers["Ratelimit-Policy"] == '"default";q=5;w=300'
            assert "Retry-After" not in answer.headers
        refused = http.post(cloudflare(tenant))
    assert (refused.status_code, refused.headers[MARK]) == (429, "rate-limit")
    assert 270 <= int(refused.headers["Retry-After"]) <= 300
    assert refused.json() == {
        "result": None,
        "success": False,
        "errors": [
            {"code": 971, "message": "Please wait and consider throttling your request speed"}
        ],
        "messages": [],
    }


def test_other_accounts_have_a_limit_of_their_own(staged: Tenant) -> None:
    statuses = []
    for tenant in (staged.make_account(), staged.make_account()):
        with client(tenant) as http:
            statuses.append([http.get(cloudflare(tenant)).status_code for _ in range(6)])
    assert statuses == [[200] * 5 + [429]] * 2


def test_shares_of_errors(staged: Tenant) -> None:
    count = 600
    with client(staged.make_account()) as http:
        answers = [http.get(LIVEPEER) for _ in range(count)]
    seen = Counter(answer.status_code for answer in answers)
    assert set(seen) == {200, 429, 500, 503}
    for status in (429, 500, 503):
        assert abs(seen[status] - count * 0.1) < 5 * math.sqrt(count * 0.1 * 0.9)
    for answer in answers:
        assert answer.headers.get(MARK) == (None if answer.status_code == 200 else "error")
        if answer.status_code != 200:
            [text] = answer.json()["errors"]
            assert text


def test_a_deleted_key_lives_on_for_a_while(staged: Tenant) -> None:
    tenant = staged.make_account()
    with client(tenant) as http:
        made = http.post(cloudflare(tenant)).raise_for_status().json()["result"]
        pem = base64.b64decode(made["pem"])
        claims = {"sub": VIDEO, "kid": made["id"], "exp": int(time.time()) + 600}
        question = {"token": jwt.encode(claims, pem, "RS256"), "subject": VIDEO}

        def asked() -> httpx2.Response:
            return http.post(f"/accounts/{tenant.account_id}/verify", json=question)

        before = asked()
        assert (before.json()["reason"], before.headers.get(MARK)) == ("allowed", None)
        began = time.monotonic()
        http.delete(f"{cloudflare(tenant)}/{made['id']}").raise_for_status()
        until(lambda: asked().headers.get(MARK) == "revocation-lag")
        late = asked()
        assert (late.json()["reason"], late.headers.get(MARK)) == ("allowed", "revocation-lag")
        while (answer := asked()).json()["allowed"]:
            time.sleep(0.05)
        assert 1.4 <= time.monotonic() - began <= 6
        assert (answer.json()["reason"], answer.headers.get(MARK)) == ("key_deleted", None)


def test_workers_simulate_too(house: House, file: Path, tmp_path: Path) -> None:
    options = ("--workers", "2", "--simulate", str(file))
    with serve(house, tmp_path / "log", options=options) as (url, _):
        for _ in range(8):  # each on a connection of its own: the kernel deals them out
            assert "simulation" in httpx2.get(url + "/readyz", trust_env=False).json()
    assert (tmp_path / "log").read_text().count("answers are simulated") == 2


def test_a_faulty_file_is_refused_with_all_its_faults(house: House, tmp_path: Path) -> None:
    file = tmp_path / "staging.toml"
    file.write_text("surprise = 1\nlivepeer.errors = { 429 = 2 }\n")
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--port", "0", "--simulate", str(file)],
        env={"PATH": os.defpath, "KEYFERRY_DATABASE_URL": house.dsn, "KEYFERRY_POOL_SIZE": "x"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    for fault in (
        "KEYFERRY_POOL_SIZE should be a whole number from 1",
        f"{file}: surprise is not known",
        f"{file}: livepeer.errors.429 should be a number from 0 to 1",
    ):
        assert fault in ended.stderr
