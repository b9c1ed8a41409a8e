"""The private half of a key is in the answer to its create and nowhere else; tokens likewise."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.crypto import generate
from gateway.model import Algorithm
from tests import doors
from tests.outage import dsn_in, frozen
from tests.search import Search, forms, twice
from tests.service import House, make_tenant, open_folder, serve_alone
from tests.store import connected

KEYS = 25  # through each door
NEVER = re.compile(rb"PRIVATE|LS0tLS1CRUdJTi|0tLS1CRUdJTi|tLS1CRUdJTi|kf_|[A-Za-z0-9_-]{65}")
"""What only a secret looks like: PEM, base64 of PEM, API tokens, and any long number."""


class Scene:
    """A service with a folder of its own, in which it can leave whatever it likes."""

    def __init__(self, folder: Path, house: House, url: str, process: int) -> None:
        self.folder = folder
        self.house = house
        self.tenant = make_tenant(house, url)
        self.process = psutil.Process(process)
        self.search = Search()
        self.public: set[str] = set()  # labels

    async def create(self, count: int) -> list[int]:
        """Create keys through both doors; return the statuses of the answers."""
        async with doors.many_at_once() as client:
            answers = await asyncio.gather(
                *(
                    client.request(**door(self.tenant).ask("create_key"))
                    for door in (doors.cloudflare, doors.livepeer)
                    for _ in range(count)
                )
            )
        for answer in answers:
            if answer.status_code == 200:
                self.look_for(answer.json())
        return [answer.status_code for answer in answers]

    def look_for(self, made: dict[str, Any]) -> None:
        """Remember all that is public and private of a new key."""
        pem = base64.b64decode(made["result"]["pem"] if "result" in made else made["privateKey"])
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, RSAPrivateKey)
        numbers = key.private_numbers()
        label = f"key {len(self.public)}"
        self.public.add(label)
        self.search.add(label, [big_endian(numbers.public_numbers.n)])
        for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp"):
            self.search.add(f"{label} {name}", forms(big_endian(getattr(numbers, name))))
        for line in private_lines(pem, big_endian(numbers.d)):
            self.search.add(f"{label} pem", [line, *twice(line)])


def big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def private_lines(pem: bytes, first: bytes) -> list[bytes]:
    """Return the lines of a PEM from the number `first` on, behind which all is private."""
    lines = pem.splitlines()[1:-1]
    public = base64.b64decode(b"".join(lines)).index(first)
    return lines[public // 48 + 1 :]  # a line holds 48 bytes


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    settings = {"KEYFERRY_LIVEPEER_QUOTA": "100", "KEYFERRY_POOL_WAIT": "60"}
    with open_folder() as folder:
        data = folder / "data"
        (folder / "tmp").mkdir()
        settings["TMPDIR"] = str(folder / "tmp")
        with (
            serve_alone(folder / "log", settings, ["--embedded", "--data", str(data)]) as served,
            House(data, dsn_in(data)) as house,
        ):
            yield Scene(folder, house, served[0], served[1].pid)


def test_search_finds_every_form(tmp_path: Path) -> None:
    pair = generate(Algorithm.RS256)
    key = load_pem_private_key(pair.traditional_pem, None)
    assert isinstance(key, RSAPrivateKey)
    search = Search()
    search.add("number", forms(big_endian(key.private_numbers().p)))
    pem, jwk = pair.traditional_pem, json.dumps(dict(pair.jwk)).encode()
    number = big_endian(key.private_numbers().p)
    left = [number, number[::-1], number.hex().encode(), number.hex().upper().encode(), pem, jwk]
    left += [base64.b64encode(b"x" * shift + text) for text in (number, jwk) for shift in range(3)]
    for text in left:
        (tmp_path / "left").write_bytes(b"odd" + text + b"end")
        assert search.below(tmp_path) == {"number"}, text
    (tmp_path / "left").write_bytes(big_endian(key.public_key().public_numbers().n))
    assert search.below(tmp_path) == set()


async def test_nothing_is_left(scene: Scene) -> None:
    assert await scene.create(KEYS) == [200] * 2 * KEYS
    scene.search.add("token", forms(scene.tenant.token.encode()))
    assert scene.search.below(scene.folder) == scene.public
    async with connected(dsn_in(scene.folder / "data", "postgres")) as connection:
        await connection.execute("CHECKPOINT")  # writes the tables' own files
    assert scene.search.below(scene.folder / "data/postgres/base") == scene.public
    assert scene.search.below(scene.folder) == scene.public


async def test_no_process_shows_it(scene: Scene) -> None:
    for process in [scene.process, *scene.process.children(recursive=True)]:
        for name in ("environ", "cmdline"):
            shown = Path(f"/proc/{process.pid}/{name}").read_bytes()
            assert scene.search.inside(shown) == set()


async def test_creates_that_fail_leave_nothing(scene: Scene) -> None:
    with frozen(scene.folder / "data"):
        assert set(await scene.create(2)) == {503}
    async with connected(scene.house.dsn) as connection:
        await connection.execute("ALTER TABLE signing_keys ADD CHECK (dialect = '') NOT VALID")
    assert set(await scene.create(2)) == {500}
    log = (scene.folder / "log").read_bytes()
    assert log.count(b'"event":"fault"') == 4
    for path in (scene.folder / "log", scene.folder / "data/postgres.log"):
        assert NEVER.findall(path.read_bytes()) == []
    assert list((scene.folder / "tmp").iterdir()) == []
    assert scene.search.below(scene.folder) == scene.public
