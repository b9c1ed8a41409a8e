"""Claims: times at the edges of their meaning, and what is no time or no subject at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.vectors.forge import (
    CLOCK,
    RSA,
    VIDEO,
    assemble,
    compact,
    header_of,
    payload_of,
    token,
    vector,
)

if TYPE_CHECKING:
    from tests.vectors.forge import Vector

LEEWAY = 5
WEEK = 7 * 86_400


def vectors() -> list[Vector]:
    return [*edges(), *spellings(), *subjects(), *other_claims()]


def edges() -> list[Vector]:
    now = CLOCK
    cases: dict[str, tuple[str, dict[str, object]]] = {
        "exp now": ("allowed", {"exp": now}),
        "exp within the leeway": ("allowed", {"exp": now - LEEWAY + 1}),
        "exp just within the leeway": ("allowed", {"exp": now - LEEWAY + 0.001}),
        "exp at the leeway's end": ("expired", {"exp": now - LEEWAY}),
        "exp past the leeway": ("expired", {"exp": now - LEEWAY - 1}),
        "exp zero": ("expired", {"exp": 0}),
        "exp at the cap": ("allowed", {"exp": now + WEEK}),
        "exp at the cap and the leeway": ("allowed", {"exp": now + WEEK + LEEWAY}),
        "exp over the cap": ("lifetime_too_long", {"exp": now + WEEK + LEEWAY + 1}),
        "exp in the year 9999": ("lifetime_too_long", {"exp": 253_402_300_799}),
        "cap not stretched by iat": (
            "lifetime_too_long",
            {"iat": now + LEEWAY, "nbf": now + LEEWAY, "exp": now + WEEK + 2 * LEEWAY},
        ),
        "made long ago for longer, less than the cap left": (
            "allowed",
            {"iat": now - 10 * WEEK, "exp": now + 60},
        ),
        "nbf now": ("allowed", {"nbf": now}),
        "nbf at the leeway": ("allowed", {"nbf": now + LEEWAY}),
        "nbf past the leeway": ("not_yet_valid", {"nbf": now + LEEWAY + 0.5}),
        "nbf after exp": ("not_yet_valid", {"nbf": now + 7200}),
        "nbf zero": ("allowed", {"nbf": 0}),
        "iat at the leeway": ("allowed", {"iat": now + LEEWAY}),
        "iat past the leeway": ("issued_in_future", {"iat": now + LEEWAY + 1}),
        "expired and not yet valid": ("expired", {"exp": now - 60, "nbf": now + 60}),
    }
    return [vector(name, reason, token(**claims)) for name, (reason, claims) in cases.items()] + [
        vector("fresh at its end", "expired", token(), at=CLOCK + 3600 + LEEWAY),
        vector("fresh just before its end", "allowed", token(), at=CLOCK + 3600 + LEEWAY - 0.01),
    ]


def spellings() -> list[Vector]:
    soon = CLOCK + 3600
    good: dict[str, object] = {
        "an integer string": str(soon),
        "a decimal string": f"{soon}.5",
        "a string with leading zeros": f"00{soon}",
        "a float": soon + 0.5,
    }
    bad: dict[str, object] = {
        "milliseconds": soon * 1000,
        "milliseconds as a string": str(soon * 1000),
        "an empty string": "",
        "a string with a space before": f" {soon}",
        "a string with a space after": f"{soon} ",
        "a string with a line end": f"{soon}\n",
        "a string with a sign": f"+{soon}",
        "a negative string": f"-{soon}",
        "a string in scientific notation": "1.76e9",
        "a string in hexadecimal": hex(soon),
        "a string with an underscore": f"{soon // 1000}_000",
        "a string with a comma": f"{soon},0",
        "a string that ends in a dot": f"{soon}.",
        "a string that begins with a dot": ".5",
        "a date": "2025-10-09T09:53:20Z",
        "the word NaN": "NaN",
        "the word Infinity": "Infinity",
        "Arabic digits": str(soon).translate({48 + digit: 0x660 + digit for digit in range(10)}),
        "a string of 400 digits": "9" * 400,
        "true": True,
        "false": False,
        "null": None,
        "an array": [soon],
        "an object": {"exp": soon},
        "negative": -1,
        "a little below zero": -0.5,
        "past the year 9999": 253_402_300_800,
        "an integer of 30 digits": 10**29,
        "a very large float": 1e300,
    }
    made = [
        vector(f"exp {name}", "allowed", token(exp=value, nbf=str(CLOCK), iat=CLOCK - 0.5))
        for name, value in good.items()
    ]
    made += [
        vector(f"exp {name}", "exp_malformed", token(exp=value)) for name, value in bad.items()
    ]
    for claim in ("nbf", "iat"):
        for name in ("milliseconds", "an empty string", "true", "null", "negative", "an array"):
            text = token(**{claim: bad[name]})
            made.append(vector(f"{claim} {name}", f"{claim}_malformed", text))
    scientific = compact(payload_of()).replace(str(soon).encode(), b"1.7600036e9")
    minus_zero = compact(payload_of(nbf=0)).replace(b'"nbf":0', b'"nbf":-0')
    return [
        *made,
        vector("exp missing", "exp_missing", token(exp=...)),
        vector("exp under another case", "exp_missing", token(exp=..., EXP=soon)),
        vector(
            "exp a number in scientific notation",
            "allowed",
            assemble(header_of(), scientific, RSA.sign),
        ),
        vector("nbf minus zero", "allowed", assemble(header_of(), minus_zero, RSA.sign)),
    ]


def subjects() -> list[Vector]:
    values: dict[str, object] = {
        "missing": ...,
        "empty": "",
        "null": None,
        "a number": 7,
        "a list": [VIDEO],
        "true": True,
        "an object": {"id": VIDEO},
    }
    return [
        vector(f"sub {name}", "sub_malformed", token(sub=value)) for name, value in values.items()
    ] + [
        vector("sub in another case", "subject_mismatch", token(sub=VIDEO.upper())),
        vector("sub with a space", "subject_mismatch", token(sub=VIDEO + " ")),
        vector("sub that is a beginning", "subject_mismatch", token(sub=VIDEO[:-1])),
        vector("sub a star", "subject_mismatch", token(sub="*")),
        vector("sub beyond ASCII", "allowed", token(sub="Zoë/1"), subject="Zoë/1"),
        vector("sub decomposed", "subject_mismatch", token(sub="Zoe\u0308"), subject="Zoë"),
        vector("nothing said of what is played", "nothing_played", token(), subject=None),
        vector("an empty subject played", "subject_mismatch", token(), subject=""),
    ]


def other_claims() -> list[Vector]:
    made = []
    values: list[object] = [False, None, "true", 1, "yes", [True], {}]
    for value in values:
        text = token(downloadable=value)
        made.append(
            vector(f"download, downloadable {value!r}", "download_refused", text, download=True)
        )
    made += [
        vector(f"action {action!r}", "action_refused", token(action=action))
        for action in ("push", "PULL", "", ["pull"], True, None)
    ]
    return [
        *made,
        vector("download, downloadable missing", "download_refused", token(), download=True),
        vector("download, true", "allowed", token(downloadable=True), download=True),
        vector("no download, downloadable nonsense", "allowed", token(downloadable="x")),
        vector("action pull", "allowed", token(action="pull")),
        vector("flags are ignored", "allowed", token(flags={"original": True})),
        vector("claims that are not ours", "allowed", token(aud=["x"], iss=7, jti=None)),
    ]
