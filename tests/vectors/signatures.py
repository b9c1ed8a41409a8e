"""Signatures that are none, in the manner of Wycheproof, and the odd ones that are."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from tests.vectors.forge import (
    EC,
    RSA,
    assemble,
    b64,
    header_of,
    payload_of,
    token,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.vectors.forge import TestKey, Vector

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def vectors() -> list[Vector]:
    return [*rsa_signatures(), *es256_signatures()]


def _with_signature(key: TestKey, make: Callable[[bytes, bytes], bytes]) -> str:
    """A good token whose signature is `make(good signature, signing input)`."""
    return assemble(header_of(key), payload_of(), lambda data: make(key.sign(data), data))


def _raw_rsa(message: bytes) -> bytes:
    numbers = RSA.rsa.private_numbers()
    power = pow(int.from_bytes(message, "big"), numbers.d, numbers.public_numbers.n)
    return power.to_bytes(256, "big")


def _padded(info: bytes, *, block_type: int = 1, fill: int = 0xFF, after: bytes = b"") -> bytes:
    filling = bytes([fill]) * (256 - 3 - len(info) - len(after))
    return bytes([0, block_type]) + filling + b"\0" + info + after


def rsa_signatures() -> list[Vector]:
    modulus = RSA.rsa.public_key().public_numbers().n
    no_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20"

    def digest(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    changes: dict[str, Callable[[bytes, bytes], bytes]] = {
        "one bit flipped": lambda s, _: bytes([s[0] ^ 1]) + s[1:],
        "last bit flipped": lambda s, _: s[:-1] + bytes([s[-1] ^ 1]),
        "truncated": lambda s, _: s[:-1],
        "cut in half": lambda s, _: s[:128],
        "one byte": lambda s, _: s[:1],
        "one byte longer": lambda s, _: s + b"\0",
        "a zero byte in front": lambda s, _: b"\0" + s,
        "all zero": lambda _, __: bytes(256),
        "one": lambda _, __: bytes(255) + b"\1",
        "the modulus": lambda _, __: modulus.to_bytes(256, "big"),
        "the modulus less one": lambda _, __: (modulus - 1).to_bytes(256, "big"),
        "all ones": lambda _, __: b"\xff" * 256,
        "plus the modulus": lambda s, _: (int.from_bytes(s, "big") + modulus).to_bytes(257, "big"),
        "reversed": lambda s, _: s[::-1],
        "PSS": lambda _, data: RSA.rsa.sign(data, _ZeroSalt.padding(), SHA256()),
        "over SHA-512": lambda _, data: RSA.rsa.sign(data, padding.PKCS1v15(), SHA512()),
        "bare digest": lambda _, data: _raw_rsa(_padded(digest(data))),
        "no NULL in DigestInfo": lambda _, d: _raw_rsa(_padded(no_null + digest(d))),
        "text after the digest": lambda _, d: _raw_rsa(
            _padded(SHA256_INFO + digest(d), after=b"\0" * 16)
        ),
        "block type 2": lambda _, d: _raw_rsa(_padded(SHA256_INFO + digest(d), block_type=2)),
        "wrong filling": lambda _, d: _raw_rsa(_padded(SHA256_INFO + digest(d), fill=0xFE)),
        "of the payload alone": lambda _, d: RSA.sign(d.split(b".")[1]),
    }
    shorter, whole = _leading_zero(RSA, 1)
    return [
        vector(f"RS256 signature, {name}", "signature_invalid", _with_signature(RSA, change))
        for name, change in changes.items()
    ] + [
        vector("RS256 signature that begins with a zero byte", "allowed", whole),
        vector("RS256 signature, its leading zero dropped", "signature_invalid", shorter),
    ]


class _ZeroSalt:
    """PSS without a salt, which makes it reproducible."""

    @staticmethod
    def padding() -> padding.PSS:
        return padding.PSS(padding.MGF1(SHA256()), 0)


def _leading_zero(key: TestKey, zeros: int) -> tuple[str, str]:
    """The same token without and with the zero bytes that its signature begins with."""
    serial = 0
    while True:
        text = token(key, jti=str(serial))
        signing_input = text.rpartition(".")[0]
        signature = key.sign(signing_input.encode())
        if not any(signature[:zeros]):
            return f"{signing_input}.{b64(signature[zeros:])}", text
        serial += 1


def _pair(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def es256_signatures() -> list[Vector]:
    order = P256_ORDER

    def der(signature: bytes) -> bytes:
        return utils.encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )

    def other_half(signature: bytes, _: bytes) -> bytes:
        return signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")

    changes: dict[str, Callable[[bytes, bytes], bytes]] = {
        "DER": lambda s, _: der(s),
        "r zero": lambda s, _: bytes(32) + s[32:],
        "s zero": lambda s, _: s[:32] + bytes(32),
        "both zero": lambda _, __: bytes(64),
        "both one": lambda _, __: _pair(1, 1),
        "r the order": lambda s, _: order.to_bytes(32, "big") + s[32:],
        "s the order": lambda s, _: s[:32] + order.to_bytes(32, "big"),
        "both the order": lambda _, __: _pair(order, order),
        "all ones": lambda _, __: b"\xff" * 64,
        "halves swapped": lambda s, _: s[32:] + s[:32],
        "truncated": lambda s, _: s[:-1],
        "r alone": lambda s, _: s[:32],
        "one byte longer": lambda s, _: s + b"\0",
        "halves of 33 bytes": lambda s, _: b"\0" + s[:32] + b"\0" + s[32:],
        "as long as P-384's": lambda s, _: bytes(16) + s[:32] + bytes(16) + s[32:],
        "one bit flipped": lambda s, _: s[:40] + bytes([s[40] ^ 1]) + s[41:],
        "over SHA-512": lambda _, d: _raw_pair(
            EC.ec.sign(d, ec.ECDSA(SHA512(), deterministic_signing=True))
        ),
    }
    shorter, whole = _leading_zero(EC, 1)
    return [
        vector(f"ES256 signature, {name}", "signature_invalid", _with_signature(EC, change))
        for name, change in changes.items()
    ] + [
        # Anybody can turn one valid signature into the other: a token is not an identity.
        vector("ES256 signature, s negated", "allowed", _with_signature(EC, other_half)),
        vector("ES256 signature that begins with a zero byte", "allowed", whole),
        vector("ES256 signature, its leading zero dropped", "signature_invalid", shorter),
    ]


def _raw_pair(der: bytes) -> bytes:
    return _pair(*utils.decode_dss_signature(der))
