"""What one more key weighs: run as `python -m tests.bench.memory keyring|pool COUNT` afresh."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psutil
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway import crypto
from gateway.keyring import FeedKeyring
from gateway.model import Algorithm

_COUNTS = {"keyring": 20_000, "pool": 5_000}
_PRIVATE = generate_private_key(65537, 2048)


def weigh(what: str) -> float:
    """Return the bytes of resident memory of one entry, by filling a process of its own."""
    count = _COUNTS[what]
    command = [sys.executable, "-m", "tests.bench.memory", what, str(count)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(told.stdout) / count


def _keyring(count: int) -> object:
    """Fill a keyring as its loader does."""
    feed: Any = SimpleNamespace(subscribe=lambda _listener: None)
    database: Any = None
    ring = FeedKeyring(database, feed)
    spki = _PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for _ in range(count):
        row = _row(uuid4(), spki)
        ring._remember(ring._state(row), row["fingerprint"])
    return ring


def _row(key: UUID, spki: bytes) -> dict[str, Any]:
    return {
        "id": key,
        "account_id": uuid4(),
        "project_id": uuid4(),
        "algorithm": "RS256",
        "spki": spki,
        "fingerprint": sha256(key.bytes).digest(),
        "disabled": False,
        "deleted": False,
    }


def _pool(count: int) -> object:
    """Render key pairs as the pool does: all of one private key, which weighs the same."""
    return [crypto.KeyPair(Algorithm.RS256, _PRIVATE).render() for _ in range(count)]


def _main(what: str, count: int) -> None:
    fill = {"keyring": _keyring, "pool": _pool}[what]
    fill(10)  # what is allocated once
    before = psutil.Process().memory_info().rss
    kept = fill(count)
    sys.stdout.write(f"{psutil.Process().memory_info().rss - before}\n")
    del kept


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
