"""Compact JWS in and out: one reading or none, whatever the text."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import jws
from gateway.verdicts import Reason, Refused
from tests.vectors.forge import assemble, b64, header_of, payload_of
from tests.vectors.texts import ALPHABET

HEADER: dict[str, object] = {"alg": "RS256", "kid": "k"}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["a", "b", "ä", ":", '"', "a:b"])


def sign(data: bytes) -> bytes:
    return b"signature of " + data[:8]


def reason_of(text: str) -> Reason | None:
    """Why `text` is refused, or None when it is read."""
    try:
        jws.parse(jws.wire(text))
    except Refused as refusal:
        return refusal.reason
    return None


# --- base64url ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_base64url_gives_back_what_it_took(data: bytes) -> None:
    text = jws.b64url_encode(data)
    assert text == urlsafe_b64encode(data).rstrip(b"=")
    assert jws.b64url_decode(text) == data


@pytest.mark.parametrize("length", [1, 2, 3])
def test_base64url_takes_one_spelling_of_each_value(length: int) -> None:
    """Every short text over the alphabet and beyond: read exactly when it is canonical."""
    beyond = "+/= \n.%\0\x7f"
    for letters in product(ALPHABET[::3] + "AQgw_" + beyond, repeat=length):
        text = "".join(letters).encode()
        data = _canonical(text)
        if data is not None:
            assert jws.b64url_decode(text) == data
            continue
        with pytest.raises(Refused) as caught:
            jws.b64url_decode(text)
        assert caught.value.reason is Reason.BASE64_MALFORMED


def _canonical(text: bytes) -> bytes | None:
    if not set(text.decode("latin-1")) <= set(ALPHABET) or len(text) % 4 == 1:
        return None
    data = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    return data if urlsafe_b64encode(data).rstrip(b"=") == text else None


# --- parse -------------------------------------------------------------------------------------


def test_parse_takes_a_token_apart() -> None:
    text = assemble(header_of(), payload_of(), sign)
    parsed = jws.parse(jws.wire(text))
    assert parsed.header == header_of()
    assert parsed.payload == payload_of()
    assert parsed.signing_input.decode() == text.rpartition(".")[0]
    assert parsed.signature == sign(parsed.signing_input)


@settings(deadline=None)
@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_is_encoded_is_parsed(payload: dict[str, Any]) -> None:
    parsed = jws.parse(jws.wire(jws.encode(HEADER, payload, sign)))
    assert parsed.header == HEADER
    assert json.dumps(parsed.payload) == json.dumps(payload)  # the order of members included


@settings(deadline=None)
@given(st.text() | st.text(alphabet=ALPHABET[:8] + ".", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    reason_of(text)


@settings(deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_as_header_and_payload_are_read_or_refused(header: bytes, body: bytes) -> None:
    reason_of(assemble(header, body, sign))


@settings(deadline=None)
@given(st.lists(st.tuples(names, values), max_size=4), st.booleans())
def test_repeated_names_are_seen_however_they_are_written(
    members: list[tuple[str, Any]], escape: bool
) -> None:
    """Objects written by hand, so that names repeat: refused exactly when one does."""
    body = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members)
    text = "{" + (body.replace("a", "\\u0061") if escape else body) + "}"
    try:
        json.loads(text)
    except ValueError:  # the escape hit the word false or null
        return
    distinct = len({name for name, _ in members}) == len(members)
    expected = None if distinct else Reason.MEMBER_REPEATED
    assert reason_of(assemble(HEADER, text.encode(), sign)) == expected


@pytest.mark.parametrize("depth", [1, 2, 5, 50])
def test_repeated_names_are_seen_at_any_depth(depth: int) -> None:
    inner = b'{"a":1,"b":2}'
    for twin, expected in ((b'"b"', None), (b'"a"', Reason.MEMBER_REPEATED)):
        nested = b'{"x":[' * depth + inner.replace(b'"b"', twin) + b"]}" * depth
        assert reason_of(assemble(HEADER, nested, sign)) == expected


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_by_us_and_not_by_the_interpreter(opening: bytes, closing: bytes) -> None:
    for brackets, reason in (
        (255, None),
        (256, Reason.JSON_MALFORMED),
        (900, Reason.JSON_MALFORMED),
    ):
        body = b'{"x":' + opening * brackets + b"1" + closing * brackets + b"}"
        assert reason_of(assemble(HEADER, body, sign)) == reason


def test_size_is_refused_before_anything_is_read() -> None:
    assert reason_of("." * (jws.MAX_TOKEN + 1)) is Reason.TOKEN_TOO_LARGE
    assert reason_of("é" * (jws.MAX_TOKEN + 1)) is Reason.TOKEN_TOO_LARGE
    assert reason_of("." * jws.MAX_TOKEN) is Reason.TOKEN_MALFORMED
    assert reason_of("\ud800.a.a") is Reason.TOKEN_MALFORMED


# --- encode ------------------------------------------------------------------------------------


def test_encode_keeps_the_order_of_members_and_adds_no_space() -> None:
    payload = {"sub": "v", "kid": "k", "exp": "2", "nbf": 1}
    head, body, signature = jws.encode({"kid": "k", "alg": "RS256"}, payload, sign).split(".")
    assert head == b64(b'{"kid":"k","alg":"RS256"}')
    assert body == b64(b'{"sub":"v","kid":"k","exp":"2","nbf":1}')
    assert signature == b64(sign(f"{head}.{body}".encode()))
