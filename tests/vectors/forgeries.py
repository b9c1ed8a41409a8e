"""Tokens that name another algorithm or another key than the stored one."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from typing import TYPE_CHECKING

from tests.vectors.forge import (
    CLOCK,
    EC,
    KEYS,
    RSA,
    assemble,
    b64,
    compact,
    header_of,
    payload_of,
    token,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.vectors.forge import TestKey, Vector


def vectors() -> list[Vector]:
    return [
        *algorithms(),
        *keys_of_their_own(),
        *wrong_keys(),
        *references(),
    ]


def _hmac(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def algorithms() -> list[Vector]:
    unsigned: Callable[[bytes], bytes] = lambda _: b""  # noqa: E731
    made = []
    for name in ("none", "None", "NONE", "nOnE", ""):
        header = {"alg": name, "kid": RSA.kid}
        bare = assemble(header, payload_of(), unsigned)
        made.append(vector(f"alg {name!r} without a signature", "token_malformed", bare))
        signed = assemble(header, payload_of(), RSA.sign)
        made.append(vector(f"alg {name!r} with a signature", "algorithm_refused", signed))
    for name, secret in {
        "PEM": RSA.pem,
        "PEM without its last line end": RSA.pem.rstrip(),
        "DER": RSA.spki,
        "base64 PEM": RSA.pub.encode(),
        "empty": b"",
    }.items():
        text = assemble({"alg": "HS256", "kid": RSA.kid}, payload_of(), _hmac(secret))
        made.append(vector(f"HS256 keyed with the public key's {name}", "algorithm_refused", text))
    sneaky = assemble(header_of(), payload_of(), _hmac(RSA.pem))
    made.append(vector("HMAC under alg RS256", "signature_invalid", sneaky))
    others = ("RS384", "RS512", "PS256", "ES384", "EdDSA", "rs256", "RS256 ", ["RS256"], None, 256)
    for other in (*others, {"RS256": 1}, True):
        text = assemble(header_of(alg=other), payload_of(), RSA.sign)
        made.append(vector(f"alg {other!r}", "algorithm_refused", text))
    missing = assemble({"kid": RSA.kid}, payload_of(), RSA.sign)
    in_payload = assemble({"kid": RSA.kid}, payload_of(alg="RS256"), RSA.sign)
    return [
        *made,
        vector("no alg", "algorithm_refused", missing),
        vector("alg in the payload", "algorithm_refused", in_payload),
        vector("RS256 token for an ES256 key", "algorithm_mismatch", _as(RSA, "RS256", EC)),
        vector("ES256 token for an RS256 key", "algorithm_mismatch", _as(EC, "ES256", RSA)),
        vector("RS256 signature under alg ES256", "signature_invalid", _as(RSA, "ES256", EC)),
        vector("ES256 signature under alg RS256", "signature_invalid", _as(EC, "RS256", RSA)),
    ]


def _as(signer: TestKey, algorithm: str, named: TestKey) -> str:
    return assemble({"alg": algorithm, "kid": named.kid}, payload_of(), signer.sign)


def keys_of_their_own() -> list[Vector]:
    stranger = KEYS["rsa_nowhere"]
    numbers = stranger.rsa.public_key().public_numbers()
    jwk = {"kty": "RSA", "e": "AQAB", "n": b64(numbers.n.to_bytes(256, "big"))}
    members: dict[str, object] = {
        "jwk": jwk,
        "jku": "https://evil.test/jwks.json",
        "x5u": "https://evil.test/cert.pem",
        "x5c": [b64encode(stranger.spki).decode()],
        "crit": ["exp"],
        "b64": False,
    }
    made = []
    for name, value in members.items():
        for by, key in (("a stranger", stranger), ("the key itself", RSA)):
            text = assemble(header_of(**{name: value}), payload_of(), key.sign)
            made.append(vector(f"header {name}, signed by {by}", "header_refused", text))
    others: dict[str, dict[str, object]] = {
        "crit with b64 false": {"b64": False, "crit": ["b64"]},
        "crit empty": {"crit": []},
        "crit null": {"crit": None},
        "crit naming kid": {"crit": ["kid"]},
        "jwk null": {"jwk": None},
    }
    for name, more in others.items():
        text = assemble(header_of(**more), payload_of(), RSA.sign)
        made.append(vector(f"header {name}", "header_refused", text))
    escaped = compact(header_of(jwk=jwk)).replace(b'"jwk"', b'"\\u006awk"')
    bare = assemble({"alg": "RS256", "jwk": jwk}, payload_of(), stranger.sign)
    return [
        *made,
        vector("header jwk, escaped", "header_refused", assemble(escaped, payload_of(), RSA.sign)),
        vector("header jwk and no kid", "header_refused", bare),
    ]


def wrong_keys() -> list[Vector]:
    stranger, theirs = KEYS["rsa_nowhere"], KEYS["rsa_foreign"]
    impostor = assemble(header_of(), payload_of(), stranger.sign)
    forged = assemble(header_of(KEYS["rsa_deleted"]), payload_of(), stranger.sign)
    twice = assemble(header_of(), payload_of(kid=theirs.kid), theirs.sign)
    unknown = assemble({"alg": "RS256", "kid": "0" * 32}, payload_of(pub=RSA.pub), RSA.sign)
    known_only_there = vector("the same key there", "allowed", token(theirs), account="foreign")
    disabled, deleted = KEYS["rsa_disabled"], KEYS["rsa_deleted"]
    return [
        vector("signed by a stranger", "signature_invalid", impostor),
        vector("key that was never stored", "key_unknown", token(stranger)),
        vector("key of another account", "key_unknown", token(theirs)),
        known_only_there,
        vector("own key, asked of another account", "key_unknown", token(), account="foreign"),
        vector("disabled key", "key_disabled", token(disabled)),
        vector("disabled, other account", "key_unknown", token(disabled), account="foreign"),
        vector("deleted key", "key_deleted", token(deleted)),
        vector("deleted, other account", "key_unknown", token(deleted), account="foreign"),
        vector("deleted key, forged", "key_deleted", forged),
        vector("deleted key, expired", "key_deleted", token(deleted, exp=CLOCK - 99)),
        vector("header kid decides, payload kid signed", "signature_invalid", twice),
        vector("unknown header kid, known pub", "key_unknown", unknown),
    ]


def references() -> list[Vector]:
    dashes = "-".join(RSA.kid[i : i + 4] for i in range(0, 32, 4))
    kids = ["", "my-key", RSA.kid[:31], RSA.kid + "0", f" {RSA.kid}", f"{RSA.kid}\n"]
    kids += [f"{{{RSA.id}}}", f"urn:uuid:{RSA.id}", dashes, "٣" * 32]
    made = []
    for kid in (*kids, None, 7, [RSA.kid], True):
        text = assemble({"alg": "RS256", "kid": kid}, payload_of(kid=RSA.kid), RSA.sign)
        made.append(vector(f"header kid {kid!r}", "kid_malformed", text))
    in_payload = assemble({"alg": "RS256"}, payload_of(kid="my-key", pub=RSA.pub), RSA.sign)
    nameless = assemble({"alg": "RS256"}, payload_of(), RSA.sign)
    return [
        *made,
        vector("payload kid malformed, pub good", "kid_malformed", in_payload),
        vector("no kid, no pub", "key_unnamed", nameless),
        *public_keys(),
    ]


def public_keys() -> list[Vector]:
    pem, der = RSA.pem, RSA.spki
    assert RSA.pub.endswith("g==")
    body = b64encode(der)
    head, tail = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
    encoded: dict[str, tuple[str, bytes]] = {
        "with CRLF": ("allowed", pem.replace(b"\n", b"\r\n")),
        "without the last line end": ("allowed", pem.rstrip()),
        "on one line": ("allowed", b"\n".join((head, body, tail))),
        "of a key never stored": ("key_unknown", KEYS["rsa_nowhere"].pem),
        "with one more byte": ("key_unknown", b"\n".join((head, b64encode(der + b"\0"), tail))),
        "as DER": ("pub_malformed", der),
        "with text before it": ("pub_malformed", b"x\n" + pem),
        "twice": ("pub_malformed", pem + pem),
        "as an RSA PUBLIC KEY": ("pub_malformed", pem.replace(b" PUBLIC", b" RSA PUBLIC")),
        "with a hole": ("pub_malformed", pem.replace(b"A", b"!", 1)),
        "unpadded within": ("pub_malformed", b"\n".join((head, b"AAA", tail))),
        "empty within": ("pub_malformed", b"\n".join((head, b"", tail))),
    }
    values: dict[str, tuple[str, object]] = {
        name: (reason, b64encode(raw).decode()) for name, (reason, raw) in encoded.items()
    }
    values |= {
        "as bare PEM": ("pub_malformed", pem.decode()),
        "with spare bits set": ("pub_malformed", RSA.pub.replace("g==", "h==")),
        "without its padding": ("pub_malformed", RSA.pub.rstrip("=")),
        "as base64url": ("pub_malformed", b64(b"\xff\xfe\xfd" + pem)),
        "with a line end after it": ("pub_malformed", RSA.pub + "\n"),
        "beyond ASCII": ("pub_malformed", "ü"),
        "empty": ("pub_malformed", ""),
        "null": ("pub_malformed", None),
        "as a list": ("pub_malformed", [RSA.pub]),
    }
    return [
        vector(f"pub {name}", reason, assemble({"alg": "RS256"}, payload_of(pub=pub), RSA.sign))
        for name, (reason, pub) in values.items()
    ]
