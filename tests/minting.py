"""Answers of the door that mints playback tokens, and private keys as they are sent to it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from gateway.jws import b64url_decode

MASTER_KEY = "bWFzdGVyIGtleSBvZiB0aGUgaW50ZWdyYXRpb24gdHM="  # of servers that have one


def pem(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.TraditionalOpenSSL,
    lock: KeySerializationEncryption | None = None,
) -> str:
    """Return a private key as doors hand it out: base64 of a PEM."""
    return b64encode(private.private_bytes(Encoding.PEM, form, lock or NoEncryption())).decode()


def token_in(answer: httpx2.Response) -> str:
    """Return the token that was minted."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["token"])


def texts_of(token: str) -> tuple[str, str]:
    """Return header and payload as they are written."""
    header, payload, _ = token.split(".")
    return b64url_decode(header.encode()).decode(), b64url_decode(payload.encode()).decode()


def claims_of(token: str) -> dict[str, Any]:
    """Return the payload."""
    claims: dict[str, Any] = json.loads(texts_of(token)[1])
    return claims


def refused(answer: httpx2.Response, status: int, code: int) -> str:
    """Check a refusal's status and code and return its message."""
    assert answer.status_code == status, answer.text
    assert answer.json()["result"] is None
    [error] = answer.json()["errors"]
    assert error["code"] == code
    return str(error["message"])
