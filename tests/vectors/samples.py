"""Tokens as the documented clients write them: each must be let in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.vectors.forge import (
    CLOCK,
    EC,
    HERE,
    KEYS,
    PLAYBACK,
    RSA,
    VIDEO,
    assemble,
    compact,
    header_of,
    payload_of,
    vector,
)

if TYPE_CHECKING:
    from tests.vectors.forge import TestKey, Vector

UK: dict[str, Any] = {"address": "203.0.113.7", "country": "GB"}


def vectors() -> list[Vector]:
    return recorded() + cloudflare() + livepeer() + other_shapes()


def recorded() -> list[Vector]:
    """What the clients' own code wrote (record.mjs)."""
    tokens = json.loads((HERE / "recorded.json").read_text())
    made = []
    for name, text in tokens.items():
        reason = "json_malformed" if "beyond ASCII" in name else "allowed"
        if name.startswith("livepeer"):
            made.append(vector(name, reason, text, subject=PLAYBACK))
        else:
            made.append(vector(name, reason, text, **UK))
    webcrypto = tokens["cloudflare WebCrypto sample"]
    return [
        *made,
        vector("cloudflare WebCrypto sample, viewer abroad", "blocked", webcrypto, country="FR"),
        vector("cloudflare WebCrypto sample, country unknown", "country_unknown", webcrypto),
    ]


def cloudflare() -> list[Vector]:
    times = {"exp": str(CLOCK + 3600), "nbf": str(CLOCK - 3600)}
    minted = {"sub": VIDEO, "kid": RSA.kid, **times}
    full = {**minted, "downloadable": True, "accessRules": [], "flags": {"original": True}}
    php = compact({"sub": VIDEO, "kid": RSA.kid, "exp": CLOCK + 3600, "iss": "https://a.test"})
    sorted_go = {"exp": CLOCK + 3600, "kid": RSA.kid, "nbf": CLOCK, "sub": VIDEO}
    shapes: dict[str, tuple[object, object]] = {
        "token endpoint": (header_of(), minted),
        "token endpoint, every member": (header_of(), full),
        "PHP sample, escaped slashes": (
            {"alg": "RS256", "typ": "JWT"},
            php.replace(b"/", b"\\/"),
        ),
        "Go sample, sorted members": (header_of(typ="JWT"), sorted_go),
        "Python sample, PyJWT": (
            {"alg": "RS256", "kid": RSA.kid, "typ": "JWT"},
            {"sub": VIDEO, "exp": CLOCK + 3600, "nbf": CLOCK - 3600},
        ),
        "kid in header only": (header_of(), payload_of()),
        "kid in payload only": ({"alg": "RS256"}, payload_of(kid=RSA.kid)),
        "kid in both": (header_of(), payload_of(kid=RSA.kid)),
        "float times, as time.time() writes them": (
            header_of(),
            payload_of(exp=CLOCK + 3600.25, nbf=CLOCK - 0.5, iat=CLOCK + 0.123),
        ),
    }
    return [
        vector(f"cloudflare {name}", "allowed", assemble(header, payload, RSA.sign))
        for name, (header, payload) in shapes.items()
    ] + [
        vector(
            "cloudflare download of a downloadable token",
            "allowed",
            assemble(header_of(), full, RSA.sign),
            download=True,
        ),
        vector(
            "cloudflare download of another",
            "download_refused",
            assemble(header_of(), minted, RSA.sign),
            download=True,
        ),
    ]


def pull(key: TestKey, **more: object) -> dict[str, object]:
    return {
        "action": "pull",
        "iss": "Livepeer Studio",
        "pub": key.pub,
        "sub": PLAYBACK,
        "video": "none",
        "exp": CLOCK + 86_400,
        "iat": CLOCK + 1,
        **more,
    }


def livepeer() -> list[Vector]:
    made = []
    for key in (EC, RSA):
        text = assemble({"alg": key.algorithm, "typ": "JWT"}, pull(key), key.sign)
        name = f"livepeer shape, {key.algorithm}"
        made.append(vector(name, "allowed", text, subject=PLAYBACK))
        made.append(vector(f"{name}, other stream", "subject_mismatch", text))
        made.append(vector(f"{name}, other account", "key_unknown", text, account="foreign"))
    mixed = assemble(header_of(EC), pull(EC), EC.sign)
    push = assemble({"alg": "ES256"}, pull(EC, action="push"), EC.sign)
    null = assemble({"alg": "ES256"}, pull(EC, action=None), EC.sign)
    foreign = KEYS["ec_foreign"]
    theirs = assemble({"alg": "ES256"}, pull(foreign), foreign.sign)
    return [
        *made,
        vector("livepeer with a kid as well", "allowed", mixed, subject=PLAYBACK),
        vector("livepeer action push", "action_refused", push, subject=PLAYBACK),
        vector("livepeer action null", "action_refused", null, subject=PLAYBACK),
        vector("livepeer key of another account", "key_unknown", theirs, subject=PLAYBACK),
        vector(
            "livepeer, their own account", "allowed", theirs, subject=PLAYBACK, account="foreign"
        ),
    ]


def other_shapes() -> list[Vector]:
    """What differs between encoders and means nothing."""
    shapes: dict[str, tuple[object, object]] = {
        "kid with dashes": ({"alg": "RS256", "kid": str(RSA.id)}, payload_of()),
        "kid in upper case": ({"alg": "RS256", "kid": RSA.kid.upper()}, payload_of()),
        "kid with dashes in upper case, in the payload": (
            {"alg": "RS256"},
            payload_of(kid=str(RSA.id).upper()),
        ),
        "typ of any kind": (header_of(typ="at+jwt"), payload_of()),
        "typ that is no string": (header_of(typ=7), payload_of()),
        "unknown header members": (header_of(cty="x", x5t="y", custom={"a": 1}), payload_of()),
        "JSON with spaces and line ends": (
            json.dumps(header_of(), indent=2).encode(),
            b"\r\n" + json.dumps(payload_of(), indent=4).encode() + b"\t",
        ),
        "escaped member names": (
            header_of(),
            compact(payload_of()).replace(b'"sub"', b'"\\u0073ub"'),
        ),
        "colons in values": (header_of(), payload_of(iss="https://a.test:8080/:", jti=":")),
        "nested objects": (header_of(), payload_of(custom={"sub": "x", "a": [{"exp": 1}]})),
        "a name beyond ASCII": (header_of(), payload_of(name="Zoë \N{CLAPPER BOARD}")),
        "null claims that are not ours": (header_of(), payload_of(aud=None, iss=None)),
    }
    return [
        vector(name, "allowed", assemble(header, payload, RSA.sign))
        for name, (header, payload) in shapes.items()
    ]
