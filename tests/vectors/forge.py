"""What vectors are built from: fixed test keys, a fixed clock, and tokens of any shape.

Nothing here uses the gateway's own code, so that it cannot agree with its own mistakes.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
CLOCK = 1_760_000_000  # 2025-10-09T08:53:20Z
VIDEO = "5d5bc37ffcf54c9b82e996823bffbb81"
PLAYBACK = "f5eese9wwl88k4g8"

Vector = dict[str, Any]


@dataclass(frozen=True)
class TestKey:
    """One of the keys in test_only_keys.json."""

    __test__ = False
    name: str
    id: UUID
    account: str
    algorithm: str
    status: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @property
    def kid(self) -> str:
        return self.id.hex

    @property
    def spki(self) -> bytes:
        return self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def pub(self) -> str:
        """The public key as Livepeer's API shows it."""
        return b64encode(self.pem).decode()

    @property
    def rsa(self) -> rsa.RSAPrivateKey:
        assert isinstance(self.private, rsa.RSAPrivateKey)
        return self.private

    @property
    def ec(self) -> ec.EllipticCurvePrivateKey:
        assert isinstance(self.private, ec.EllipticCurvePrivateKey)
        return self.private

    def sign(self, data: bytes) -> bytes:
        """As RFC 7518 says; ES256 with RFC 6979's nonce, so that files can be reproduced."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), SHA256())
        der = self.private.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _load() -> tuple[dict[str, UUID], dict[str, TestKey]]:
    data = json.loads((HERE / "test_only_keys.json").read_text())
    accounts = {name: UUID(value) for name, value in data["accounts"].items()}
    keys = {}
    for name, key in data["keys"].items():
        private = load_pem_private_key("\n".join([*key["private_pem"], ""]).encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        keys[name] = TestKey(
            name, UUID(key["id"]), key["account"], key["algorithm"], key["status"], private
        )
    return accounts, keys


ACCOUNTS, KEYS = _load()
RSA, EC = KEYS["rsa"], KEYS["ec"]


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def assemble(
    header: object, payload: object, sign: Callable[[bytes], bytes], *, pad: str = ""
) -> str:
    """A token over these parts: bytes are taken as they are, all else becomes compact JSON."""
    parts = [part if isinstance(part, bytes) else compact(part) for part in (header, payload)]
    signing_input = ".".join(b64(part) + pad for part in parts)
    return f"{signing_input}.{b64(sign(signing_input.encode()))}"


def header_of(key: TestKey = RSA, /, **more: object) -> dict[str, object]:
    return {"alg": key.algorithm, "kid": key.kid, **more}


def payload_of(**more: object) -> dict[str, object]:
    """A payload that is valid at CLOCK; a member set to `...` is left out."""
    payload = {"sub": VIDEO, "exp": CLOCK + 3600, **more}
    return {name: value for name, value in payload.items() if value is not ...}


def token(key: TestKey = RSA, /, **payload: object) -> str:
    """A good token, but for what `payload` changes."""
    return assemble(header_of(key), payload_of(**payload), key.sign)


def vector(
    name: str,
    reason: str,
    text: str,
    *,
    account: str = "own",
    at: float = CLOCK,
    subject: str | None = VIDEO,
    **facts: Any,
) -> Vector:
    """A token, the play it is for, and the reason its verdict must have."""
    known = {"subject": subject, **facts}
    return {
        "name": name,
        "reason": reason,
        "account": account,
        "at": at,
        "facts": {name: value for name, value in known.items() if value is not None},
        "token": text,
    }
