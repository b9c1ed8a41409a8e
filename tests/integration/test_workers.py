"""Several workers on one port: they share the work, the pool's threads and the metrics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.service import House, Tenant, make_tenant, serve, serve_alone

SECRET = "metrics-token-for-tests"
AUTH = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(scope="module")
def crew(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Tenant, subprocess.Popen[bytes]]]:
    log = tmp_path_factory.mktemp("crew") / "log"
    settings = {"KEYFERRY_METRICS_TOKEN": SECRET, "KEYFERRY_POOL_THREADS": "2"}
    with serve(house, log, settings, ["--workers", "2"]) as (url, process):
        yield make_tenant(house, url), process


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if is_worker(child)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return any("--worker=" in part for part in process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def metric(url: str, name: str) -> float:
    """Add up all lines of one metric."""
    answer = httpx2.get(f"{url}/metrics", headers=AUTH)
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if line.startswith(name)]
    assert lines, answer.text
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_each_worker_serves_and_all_count_together(
    crew: tuple[Tenant, subprocess.Popen[bytes]],
) -> None:
    tenant, process = crew
    keys = f"{tenant.url}/client/v4/accounts/{tenant.account_id}/stream/keys"
    name = 'keyferry_requests_total{dialect="cloudflare",route="list_keys",status="200"}'
    for _ in range(40):  # each on a connection of its own
        answer = httpx2.get(keys, headers={"Authorization": f"Bearer {tenant.token}"})
        assert answer.status_code == 200
    end = time.monotonic() + 5  # a worker hands its counts on once a second
    while metric(tenant.url, name) < 40 and time.monotonic() < end:
        time.sleep(0.1)
    assert metric(tenant.url, name) == 40
    busy = [worker for worker in workers(process) if worker.num_threads() > 1]
    assert len(busy) == len(workers(process)) == 2


def test_levels_are_combined(crew: tuple[Tenant, subprocess.Popen[bytes]]) -> None:
    tenant, _ = crew
    time.sleep(1.5)  # each worker takes its levels down once a second
    assert metric(tenant.url, "keyferry_pool_size ") == 16
    assert metric(tenant.url, "keyferry_feed_trusted ") == 1
    assert metric(tenant.url, "keyferry_database_connections ") >= 2


def test_metrics_are_for_who_knows_the_token(
    crew: tuple[Tenant, subprocess.Popen[bytes]],
) -> None:
    url = crew[0].url
    assert httpx2.get(f"{url}/metrics").status_code == 401
    wrong = {"Authorization": "Bearer something-else-entirely"}
    refusal = httpx2.get(f"{url}/metrics", headers=wrong)
    assert refusal.status_code == 401
    assert refusal.json()["error"] == "token_invalid"


def test_without_a_setting_there_are_no_metrics(service: Tenant) -> None:
    assert httpx2.get(f"{service.url}/metrics").status_code == 404


def test_a_worker_that_dies_is_started_again(
    crew: tuple[Tenant, subprocess.Popen[bytes]],
) -> None:
    tenant, process = crew
    victim = workers(process)[0]
    victim.kill()
    end = time.monotonic() + 20
    while len({worker.pid for worker in workers(process)} - {victim.pid}) < 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert httpx2.get(f"{tenant.url}/healthz").status_code == 200


def test_metrics_on_a_port_of_their_own(house: House, tmp_path: Path) -> None:
    with serve(house, tmp_path / "log", {"KEYFERRY_METRICS_PORT": "18991"}) as (url, _):
        httpx2.get(f"{url}/healthz")
        assert "keyferry_requests_total" in httpx2.get("http://127.0.0.1:18991/metrics").text
        assert httpx2.get(f"{url}/metrics").status_code == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_supervisor(house: House, tmp_path: Path, number: int) -> None:
    with serve(house, tmp_path / "log", None, ["--workers", "2"]) as (_, process):
        crew = workers(process)
        process.send_signal(number)
        assert process.wait(20) == 0  # as a single process ends, which systemd takes for success
        assert not any(worker.is_running() for worker in crew)


def test_workers_stop_when_their_supervisor_is_killed(house: House, tmp_path: Path) -> None:
    with serve(house, tmp_path / "log", None, ["--workers", "2"]) as (_, process):
        crew = workers(process)
        os.kill(process.pid, signal.SIGKILL)
        assert not psutil.wait_procs(crew, timeout=15)[1]


def test_nothing_in_the_working_directory_is_run(house: House, tmp_path: Path) -> None:
    """As the command does, and as `python -m` would not."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("gateway", "uvicorn", "adapters", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open('was-run-{name}', 'w'); raise SystemExit(9)\n")
    settings = {"KEYFERRY_DATABASE_URL": house.dsn}
    command = [str(Path(sys.executable).parent / "keyferry")]
    workers = ["--workers", "2"]
    served = serve_alone(tmp_path / "log", settings, workers, program=command, cwd=folder)
    with served as (url, _):
        assert httpx2.get(f"{url}/healthz").status_code == 200
    assert not list(folder.glob("was-run-*"))
