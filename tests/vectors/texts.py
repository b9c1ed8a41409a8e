"""Tokens whose text has more than one reading, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.vectors.forge import (
    CLOCK,
    KEYS,
    RSA,
    VIDEO,
    assemble,
    b64,
    compact,
    header_of,
    payload_of,
    token,
    vector,
)

if TYPE_CHECKING:
    from tests.vectors.forge import Vector

GOOD = token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def vectors() -> list[Vector]:
    return [*shapes(), *encodings(), *repeats(), *json_texts()]


def shapes() -> list[Vector]:
    malformed = {
        "empty": "",
        "one dot": ".",
        "two dots": "..",
        "three dots": "...",
        "no dot": HEADER + PAYLOAD + SIGNATURE,
        "two parts": f"{HEADER}.{PAYLOAD}",
        "no signature": f"{HEADER}.{PAYLOAD}.",
        "no payload": f"{HEADER}..{SIGNATURE}",
        "no header": f".{PAYLOAD}.{SIGNATURE}",
        "four parts": f"{GOOD}.{SIGNATURE}",
        "five parts, as a JWE has": f"{GOOD}.{SIGNATURE}.{SIGNATURE}",
        "a dot before": f".{GOOD}",
        "a dot after": f"{GOOD}.",
        "beyond ASCII": GOOD.replace("e", "е", 1),  # noqa: RUF001 - a Cyrillic letter
        "full-width dots": GOOD.replace(".", "．"),  # noqa: RUF001
    }
    longest = _of_length(8192)
    return [
        *(vector(f"text {name}", "token_malformed", text) for name, text in malformed.items()),
        vector("text of 8192 characters", "allowed", longest),
        vector("text of 8193 characters", "token_too_large", longest + "A"),
        vector("text of 20,000 characters", "token_too_large", "A" * 20_000),
        vector("text of 9,000 dots", "token_too_large", "." * 9_000),
        vector("text of 8,192 dots", "token_malformed", "." * 8_192),
    ]


def _of_length(wanted: int) -> str:
    """A good token of exactly this length, which base64url allows for some headers only."""

    def padded(filler: int) -> str:
        return assemble(header_of(typ="JW"), payload_of(pad="x" * filler), RSA.sign)

    filler = 3 * (wanted - len(padded(0))) // 4 - 3
    while len(text := padded(filler)) < wanted:
        filler += 1
    assert len(text) == wanted
    return text


def encodings() -> list[Vector]:
    assert len(SIGNATURE) % 4 == 2  # 256 bytes: the last character carries four spare bits
    last = ALPHABET.index(SIGNATURE[-1])
    changed = {
        "signature padded": f"{GOOD}==",
        "signature padded by one": f"{GOOD}=",
        "every part padded": assemble(header_of(), payload_of(), RSA.sign, pad="="),
        "spare bits set in the signature": GOOD[:-1] + ALPHABET[last + 1],
        "all spare bits set in the signature": GOOD[:-1] + ALPHABET[last + 15],
        "a length of 1 modulo 4": f"{HEADER}.{PAYLOAD}.{SIGNATURE}AAA",
        "standard alphabet, plus": f"{HEADER}.{PAYLOAD}.+{SIGNATURE[1:]}",
        "standard alphabet, slash": f"{HEADER}.{PAYLOAD}./{SIGNATURE[1:]}",
        "a space before": f" {GOOD}",
        "a space after": f"{GOOD} ",
        "a line end after": f"{GOOD}\n",
        "a line end within": f"{HEADER}.{PAYLOAD[:8]}\n{PAYLOAD[8:]}.{SIGNATURE}",
        "spaces around the dots": GOOD.replace(".", " . "),
        "a tab within": f"{HEADER[:4]}\t{HEADER[4:]}.{PAYLOAD}.{SIGNATURE}",
        "a NUL within": f"{HEADER}.{PAYLOAD}.{SIGNATURE[:9]}\0{SIGNATURE[9:]}",
        "an escape within": f"{HEADER}.{PAYLOAD}.%41{SIGNATURE[1:]}",
        "the word Bearer": f"Bearer {GOOD}",
        "in quotes": f'"{GOOD}"',
        "spare bits set in the payload": _spare_bits(),
    }
    return [vector(f"base64, {name}", "base64_malformed", text) for name, text in changed.items()]


def _spare_bits() -> str:
    """Signed over a payload whose last character has a spare bit set: only the text is wrong."""
    payload = compact(payload_of())
    payload += b" " * (-(len(payload) + 1) % 3 or 3)
    encoded = b64(payload)
    encoded = encoded[:-1] + ALPHABET[ALPHABET.index(encoded[-1]) + 1]
    signing_input = f"{HEADER}.{encoded}"
    return f"{signing_input}.{b64(RSA.sign(signing_input.encode()))}"


def repeats() -> list[Vector]:
    header, payload = compact(header_of()), compact(payload_of())
    theirs = KEYS["rsa_foreign"].kid.encode()
    headers = {
        "alg": header[:-1] + b',"alg":"RS256"}',
        "alg, none first": b'{"alg":"none",' + header[1:],
        "alg, escaped": header[:-1] + b',"\\u0061lg":"RS256"}',
        "alg, escaped in upper case": header[:-1] + b',"\\u0061\\u006C\\u0067":"RS256"}',
        "kid": b'{"kid":"' + theirs + b'",' + header[1:],
        "kid, with spaces": b'{"kid" : "' + theirs + b'",' + header[1:],
        "kid, last": header[:-1] + b',"kid":"' + theirs + b'"}',
        "typ, harmless": header[:-1] + b',"typ":"JWT","typ":"JWT"}',
        "within a member": header[:-1] + b',"x":{"a":1,"a":2}}',
    }
    payloads = {
        "sub": payload[:-1] + b',"sub":"other"}',
        "sub, same value": payload[:-1] + b',"sub":"' + VIDEO.encode() + b'"}',
        "sub, escaped": payload[:-1] + b',"s\\u0075b":"other"}',
        "exp": payload[:-1] + b',"exp":1}',
        "exp, first": b'{"exp":1,' + payload[1:],
        "accessRules": payload[:-1] + b',"accessRules":[],"accessRules":[]}',
        "an empty name": payload[:-1] + b',"":1,"":2}',
        "within custom": payload[:-1] + b',"custom":{"a":1,"a":1}}',
        "within a list, deep": payload[:-1] + b',"custom":[[{"a":{"b":1,"\\u0062":1}}]]}',
        "hidden by escaped quotes": payload[:-1] + b',"x":"\\":","sub":"other"}',
    }
    return [
        vector(f"repeated in header: {name}", "member_repeated", assemble(raw, payload, RSA.sign))
        for name, raw in headers.items()
    ] + [
        vector(f"repeated in payload: {name}", "member_repeated", assemble(header, raw, RSA.sign))
        for name, raw in payloads.items()
    ]


def json_texts() -> list[Vector]:
    header, payload = compact(header_of()), compact(payload_of())
    exp = str(CLOCK + 3600).encode()

    def with_member(text: bytes) -> bytes:
        return payload[:-1] + b"," + text + b"}"

    texts = {
        "nothing but a space": b" ",
        "an array": b"[]",
        "a string": b'"sub"',
        "a number": b"1",
        "null": b"null",
        "two objects": payload + payload,
        "text after it": payload + b"x",
        "a NUL after it": payload + b"\0",
        "a byte order mark": b"\xef\xbb\xbf" + payload,
        "UTF-16": payload.decode().encode("utf-16"),
        "cut short": payload[:-1],
        "single quotes": payload.replace(b'"', b"'"),
        "a trailing comma": payload[:-1] + b",}",
        "a comment": payload[:-1] + b"/**/}",
        "a bare name": with_member(b"a:1"),
        "invalid UTF-8": with_member(b'"a":"\xff"'),
        "invalid UTF-8 in a name": with_member(b'"\xc3":1'),
        "overlong UTF-8": with_member(b'"a":"\xc0\xaf"'),
        "a surrogate in UTF-8": with_member(b'"a":"\xed\xa0\x80"'),
        "half a surrogate pair": with_member(b'"a":"\\ud800"'),
        "a raw control character": with_member(b'"a":"\n"'),
        "an unknown escape": with_member(b'"a":"\\x41"'),
        "NaN": payload.replace(exp, b"NaN"),
        "Infinity": payload.replace(exp, b"Infinity"),
        "minus Infinity": payload.replace(exp, b"-Infinity"),
        "a number out of range": payload.replace(exp, b"1e400"),
        "a number of 5,000 digits": payload.replace(exp, b"9" * 5_000),
        "a leading zero": payload.replace(exp, b"0" + exp),
        "a hexadecimal number": payload.replace(exp, b"0x7FFFFFFF"),
        "a plus sign": payload.replace(exp, b"+" + exp),
        "arrays 2,500 deep": with_member(b'"a":' + b"[" * 2_500 + b"]" * 2_500),
        "arrays 256 deep": with_member(b'"a":' + b"[" * 256 + b"]" * 256),
        "256 arrays side by side": with_member(b'"a":[' + b",".join([b"[]"] * 255) + b"]"),
        "objects 1,100 deep": with_member(b'"a":' + b'{"":' * 1_100 + b"1" + b"}" * 1_100),
        "brackets never closed": b"[" * 5_500,
    }
    deepest = with_member(b'"a":' + b"[" * 255 + b"]" * 255)
    return [
        vector("payload JSON: 255 deep", "allowed", assemble(header, deepest, RSA.sign)),
        *_refused_json(header, payload, texts),
    ]


def _refused_json(header: bytes, payload: bytes, texts: dict[str, bytes]) -> list[Vector]:
    return [
        vector(f"payload JSON: {name}", "json_malformed", assemble(header, raw, RSA.sign))
        for name, raw in texts.items()
    ] + [
        vector(f"header JSON: {name}", "json_malformed", assemble(raw, payload, RSA.sign))
        for name, raw in {
            "an array": b"[]",
            "cut short": header[:-1],
            "invalid UTF-8": header[:-1] + b',"a":"\xff"}',
            "arrays 2,500 deep": header[:-1] + b',"a":' + b"[" * 2_500 + b"]" * 2_500 + b"}",
        }.items()
    ]
