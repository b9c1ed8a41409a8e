"""20,000 mutated tokens, judged by our reader and by joserfc: the same verdict each time.

The verdict compared is the signature's: the text is a compact JWS, its alg is the stored key's,
and its signature is by that key. Where ours is tighter on purpose, a predicate written here says
so from the text alone; where a difference has no such excuse, the test fails.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

from gateway import jws
from gateway.verdicts import Reason, Refused
from tests.vectors.forge import EC, RSA, assemble, b64, compact, header_of, payload_of
from tests.vectors.ring import state
from tests.vectors.texts import ALPHABET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.vectors.forge import TestKey

TOKENS = 20_000
REFUSED_MEMBERS = {"crit", "b64", "jwk", "jku", "x5c", "x5u"}
TYPED_MEMBERS = {"kid", "typ", "cty", "x5t", "x5t#S256"}  # that joserfc wants to be strings


class Registry(JWSRegistry):
    """joserfc as RFC 7515 section 4 has it: unknown members are ignored, headers may be long."""

    max_header_length = 8192

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)


REGISTRIES = {name: Registry(name) for name in ("RS256", "ES256")}
VERIFY = {key.name: state(key).verify for key in (RSA, EC)}
JOSERFC_KEYS: dict[str, RSAKey | ECKey] = {
    RSA.name: RSAKey.import_key(RSA.pem),
    EC.name: ECKey.import_key(EC.pem),
}


def ours(text: str, key: TestKey) -> Reason | None:
    """None for yes, else why not."""
    try:
        token = jws.parse(jws.wire(text))
    except Refused as refusal:
        return refusal.reason
    if token.header.get("alg") != key.algorithm:
        return Reason.ALGORITHM_MISMATCH
    verified = VERIFY[key.name](token.signature, token.signing_input)
    return None if verified else Reason.SIGNATURE_INVALID


def theirs(text: str, key: TestKey) -> bool:
    try:
        deserialize_compact(text, JOSERFC_KEYS[key.name], registry=REGISTRIES[key.algorithm])
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


# --- where ours is tighter, told from the text alone -------------------------------------------


class Repeated(Exception):
    pass


def distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(members)) != len(members):
        raise Repeated
    return dict(members)


def fault(text: str, part: int) -> str | None:
    """What is wrong with the header's (0) or the payload's (1) JSON by the strictest reading."""
    encoded = text.split(".")[part]
    try:
        raw = jws.b64url_decode(encoded.encode())
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=distinct, parse_constant=float)
        exact = json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except Repeated:
        return "repeated"
    except (ValueError, RecursionError):
        return "json"
    return None if exact.startswith(b"{") else "json"


def excuse(text: str, reason: Reason | None) -> str | None:
    """Which of our deliberate refusals this one is, if it is one."""
    if reason is Reason.TOKEN_TOO_LARGE and len(text) > 8192:
        return "over 8 KiB"
    if reason is Reason.TOKEN_MALFORMED and ".." in text:
        return "empty payload"
    faults = {fault(text, 0), fault(text, 1)}
    if reason is Reason.MEMBER_REPEATED and "repeated" in faults:
        return "repeated member"
    if reason is Reason.JSON_MALFORMED and "json" in faults:
        return "payload or header not a strict JSON object"
    header = json.loads(jws.b64url_decode(text.partition(".")[0].encode()))
    if reason is Reason.HEADER_REFUSED and not REFUSED_MEMBERS.isdisjoint(header):
        return "member that brings a key or changes the reading"
    return None


def typed(text: str) -> bool:
    """A member that names or describes is no string: joserfc refuses, we ignore or judge later."""
    header = json.loads(jws.b64url_decode(text.partition(".")[0].encode()))
    return any(not isinstance(header[name], str) for name in TYPED_MEMBERS & header.keys())


# --- mutations ---------------------------------------------------------------------------------

HEADER_ADDITIONS: list[bytes] = [
    *(b'"%s":%s' % (name.encode(), b'"x"') for name in sorted(REFUSED_MEMBERS | TYPED_MEMBERS)),
    b'"crit":["exp"]',
    b'"crit":[]',
    b'"b64":true',
    b'"b64":false',
    b'"jwk":{"kty":"oct","k":"AA"}',
    b'"alg":"RS256"',
    b'"alg":"none"',
    b'"\\u0061lg":"ES256"',
    b'"typ":7',
    b'"x":[{"y":1}]',
    b'"x":NaN',
    b'"x":"\\ud800"',
    b'"x":{"y":1,"y":1}',
    b'"x":1e999',
]
PAYLOADS = [b"", b"[]", b"{", b"\xff", b'{"a":NaN}', b'{"a":1,"a":2}', b"x" * 6500]


def signed_again(random: Random, key: TestKey) -> str:
    """The key's own signature over a header or payload that was changed before."""
    header, payload = compact(header_of(key)), compact(payload_of(jti=random.getrandbits(40)))
    choice = random.randrange(4)
    if choice == 0:
        header = header[:-1] + b"," + random.choice(HEADER_ADDITIONS) + b"}"
    elif choice == 1:
        header = changed_bytes(random, header)
    elif choice == 2:
        payload = random.choice(PAYLOADS) or payload[: random.choice([0, len(payload)])]
    else:
        payload = changed_bytes(random, payload)
    return assemble(header, payload, key.sign)


def changed_bytes(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    new = random.choice([b"", b" ", b'"', b",", b":", b"\\", b"\0", b"\xff", data[at : at + 9] * 2])
    return data[:at] + new + data[at + random.randrange(2) :]


def changed_character(random: Random, text: str) -> str:
    at = random.randrange(len(text))
    new: str = random.choice([*ALPHABET, *".=+/ \n%é", "", ".."])
    return text[:at] + new + text[at + random.randrange(3) :]


def spare_bits(random: Random, text: str) -> str:
    """Another last character of some segment: often the same bytes, spelled otherwise."""
    parts = text.split(".")
    which = random.randrange(3)
    index = ALPHABET.index(parts[which][-1]) ^ (1 << random.randrange(6))
    parts[which] = parts[which][:-1] + ALPHABET[index] + random.choice(["", "", "=", "=="])
    return ".".join(parts)


def changed_signature(random: Random, text: str) -> str:
    signing_input, _, signature = text.rpartition(".")
    raw = bytearray(jws.b64url_decode(signature.encode()))
    at, size = random.randrange(len(raw)), len(raw)
    choice = random.randrange(5)
    if choice == 0:
        raw[at] ^= 1 << random.randrange(8)
    elif choice == 1:
        raw = raw[:at]
    elif choice == 2:
        raw = raw[size // 2 :] + raw[: size // 2]
    elif choice == 3:
        raw += bytes(random.randrange(1, 4))
    else:
        raw[: size // 2] = bytes(size // 2)
    return f"{signing_input}.{b64(bytes(raw))}"


def exchanged_parts(random: Random, text: str) -> str:
    other = random.choice(ORIGINALS[random.choice(["rsa", "ec"])]).split(".")
    parts = zip(text.split("."), other, strict=True)
    return ".".join([random.choice(pair) for pair in parts])


def untouched(_: Random, text: str) -> str:
    return text


ORIGINALS = {
    key.name: [assemble(header_of(key), payload_of(jti=serial), key.sign) for serial in range(40)]
    for key in (RSA, EC)
}
MUTATIONS: list[Callable[[Random, str], str]] = [
    changed_character,
    spare_bits,
    changed_signature,
    exchanged_parts,
    untouched,
]


def mutated(random: Random) -> tuple[str, TestKey]:
    key = random.choice([RSA, EC])
    if random.random() < 0.3:
        return signed_again(random, key), key
    original = random.choice(ORIGINALS[key.name])
    return random.choice(MUTATIONS)(random, original), key


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_mutated_tokens_get_joserfcs_verdict(seed: int, record_property: Any) -> None:
    random, counts = Random(seed), Counter[str]()  # noqa: S311 - to be the same on every run
    for _ in range(TOKENS // 4):
        text, key = mutated(random)
        reason, accepted = ours(text, key), theirs(text, key)
        if (reason is None) == accepted:
            counts["both yes" if accepted else "both no"] += 1
        elif accepted:
            counts[f"ours tighter: {excuse(text, reason) or pytest.fail(f'{reason}: {text}')}"] += 1
        else:
            assert typed(text), text
            counts["theirs tighter: a header member is no string"] += 1
        if reason is None and not typed(text):
            jwt.PyJWS().decode(text, key.private.public_key(), algorithms=[key.algorithm])
    assert sum(counts.values()) == TOKENS // 4
    assert min(counts["both yes"], counts["both no"]) > 500
    assert len(counts) >= 7, counts
    record_property("verdicts", dict(counts))
