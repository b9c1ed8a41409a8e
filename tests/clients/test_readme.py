"""The commands and SDK calls of README run as printed, in order, against `keyferry dev`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environments import python_with
from tests.edges.harness import binary
from tests.service import open_folder

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str, first: str, last: str) -> str:
    """Join the blocks between two headings."""
    text = README.read_text(encoding="utf-8")
    part = text[text.index(f"\n{first}\n") : text.index(f"\n{last}\n")]
    found = re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)
    assert found
    return "\n".join(found)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder where `make serve` has been run, as far as its commands can tell."""
    with open_folder() as folder:
        (folder / ".venv").symlink_to(sys.prefix)
        command = [sys.executable, "-m", "gateway", "dev", "--port", "0", "--output", "json"]
        environ = {name: text for name, text in os.environ.items() if "KEYFERRY" not in name}
        with subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"{")
            try:
                yield folder
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)


def run(place: Path, script: str) -> str:
    path = f"{binary('nginx').parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", f". .keyferry/env\n{script}"],
        cwd=place,
        env={"PATH": path, "HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_curl_calls(place: Path) -> None:
    answers = run(place, blocks("sh", "### curl", "### The `cloudflare` SDK"))
    assert answers.count('"success":true') == 3
    assert '"result":"Revoked"' in answers
    assert '"privateKey":' in answers


def test_a_token_plays_through_nginx_until_its_key_is_deleted(place: Path) -> None:
    script = blocks("sh", "### Sign, play, revoke", "## What each door supports")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    answers = run(place, script.replace(":8080", f":{free}"))
    assert "HTTP/1.1 200 OK" in answers
    assert "#EXT-X-ENDLIST" in answers
    refused = answers[answers.index("Revoked") :]
    assert "HTTP/1.1 403 Forbidden" in refused
    assert "key_deleted" in refused


@pytest.mark.parametrize(
    ("heading", "last", "environment"),
    [
        ("### The `cloudflare` SDK", "### The `livepeer` SDK", "cloudflare-5"),
        ("### The `livepeer` SDK", "### Sign, play, revoke", "livepeer"),
    ],
)
def test_sdk_calls(place: Path, heading: str, last: str, environment: str) -> None:
    (place / "sample.py").write_text(blocks("python", heading, last))
    shown = run(place, f"{python_with(environment)} sample.py")
    assert "new key" in shown
    assert "all keys" in shown
