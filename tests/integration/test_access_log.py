"""The access log tells why a request was refused, and holds no token whatever a signer writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.logged import line_of, lines_with
from tests.player import Headers, Player, sign
from tests.service import House, serve
from tests.vectors.forge import VIDEO, TestKey

VIEWER = "203.0.113.9"
FORWARDED = ("X-Forwarded-For", VIEWER)
ODD = "\x1b[31m\u202e\x00\r\n"


@dataclass(frozen=True)
class Logged:
    """A player whose questions are looked up in the log."""

    player: Player
    log: Path

    def ask(self, url: str, *headers: tuple[str, str]) -> dict[str, Any]:
        """Ask as an edge does and return the line of it."""
        name = f"log-{uuid4().hex}"
        self.player.ask(url, [*headers, ("X-Request-ID", name)])
        return line_of(self.log, name)

    def post(self, path: str, **members: object) -> dict[str, Any]:
        """Post a document and return the line of it."""
        name = f"log-{uuid4().hex}"
        url, headers = self.player.tenant.url + path, {"X-Request-ID": name}
        self.player.http.post(url, json=members, headers=headers)
        return line_of(self.log, name)

    def explain(self, **members: object) -> dict[str, Any]:
        """Ask as a program does and return the line of it."""
        return self.post(f"/accounts/{self.player.tenant.account_id}/verify", **members)


@pytest.fixture(scope="module")
def logged(player: Player, service_log: Path) -> Logged:
    """The player, whose server logs everything."""
    return Logged(player, service_log)


def told(line: dict[str, Any]) -> tuple[object, ...]:
    return tuple(line[name] for name in ("reason", "kid", "subject", "address"))


def play(token: str) -> str:
    return f"/{VIDEO}/index.m3u8?token={token}"


def forged(token: str) -> str:
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def test_it_names_reason_key_subject_and_viewer(logged: Logged, key: TestKey) -> None:
    kid, text = key.kid, sign(key)
    assert told(logged.ask(play(text), FORWARDED)) == ("allowed", kid, VIDEO, VIEWER)
    expired = logged.ask(play(sign(key, exp=1)), FORWARDED)
    assert told(expired) == ("expired", kid, VIDEO, VIEWER)
    other = logged.ask(f"/other/x.ts?token={text}", FORWARDED)
    assert told(other) == ("subject_mismatch", kid, VIDEO, VIEWER)


def test_it_names_nothing_that_is_not_known(logged: Logged, key: TestKey) -> None:
    """Neither a kid of the viewer's choice, nor a subject that nobody signed, nor the edge."""
    assert told(logged.ask("/x", FORWARDED)) == ("token_missing", None, None, VIEWER)
    bad = logged.ask(play(forged(sign(key))), FORWARDED)
    assert told(bad) == ("signature_invalid", key.kid, None, VIEWER)
    header = {"alg": "RS256", "kid": uuid4().hex}
    unknown = logged.ask(play(sign(key, header)), FORWARDED)
    assert told(unknown) == ("key_unknown", None, None, VIEWER)
    foreign = Logged(logged.player.other(), logged.log).ask(play(sign(key)))
    assert told(foreign) == ("key_unknown", None, None, None)
    named = logged.ask("/x", ("X-Forwarded-For", "unknown"))
    assert told(named) == ("token_missing", None, None, None)


def test_it_names_the_same_for_programs(logged: Logged, key: TestKey) -> None:
    kid, text = key.kid, sign(key)
    assert told(logged.explain(token=text, ip=VIEWER)) == ("allowed", kid, VIDEO, VIEWER)
    refused = logged.explain(token=text, subject="other", ip="2001:DB8::1")
    assert (refused["status"], *told(refused)) == (
        200,
        "subject_mismatch",
        kid,
        VIDEO,
        "2001:db8::1",
    )
    assert told(logged.explain(token=text, ip=ODD)) == ("allowed", kid, VIDEO, None)
    assert told(logged.explain(token=text)) == ("allowed", kid, VIDEO, None)
    assert told(logged.explain(token=1))[0] == "body_invalid"


GATED = [("", "key_unnamed"), ("LS0=", "key_unknown")]


@pytest.mark.parametrize(("pub", "reason"), GATED)
def test_it_names_why_a_gate_is_shut(logged: Logged, pub: str, reason: str) -> None:
    path = f"/api/access-control/gate?account={logged.player.tenant.account_id}"
    line = logged.post(path, stream="a", type="jwt", pub=pub)
    assert told(line) == (reason, None, None, "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nowhere", "route_unknown"),
        ("/accounts/nobody/verify", "route_unknown"),
        ("/keys/0123456789abcdef0123456789abcdef.pem", "key_unknown"),
        ("/healthz", None),
    ],
)
def test_it_names_why_other_routes_refuse(logged: Logged, path: str, reason: str | None) -> None:
    name = f"log-{uuid4().hex}"
    logged.player.fetch(path, X_Request_ID=name)
    assert told(line_of(logged.log, name)) == (reason, None, None, "127.0.0.1")


# A subject that a signer may write, and how it is shown.
SUBJECTS = {
    "plain": ("my video/1.m3u8", "my video/1.m3u8"),
    "beyond ASCII": ("vidéo-日本", "vidéo-日本"),
    "control characters": (f"a{ODD}b", "a\ufffd[31m" + "\ufffd" * 4 + "b"),
    "quotes and braces": ('{"a": "\\"}', '{"a": "\\"}'),
    "very long": ("x" * 4000, "x" * 200 + "…"),
    "very long in four bytes": ("\U0001f600" * 1000, "\U0001f600" * 200 + "…"),
    "very long and quoted": ('"' * 1500, '"' * 200 + "…"),
    "a token": (
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLWE",
        "[redacted]",
    ),
    "a token with blanks": (
        "x/ewogICJhbGciOiAiUlMyNTYiCn0.eyAic3ViIjogImEiIH0.c2lnbmF0dXJl/y",
        "[redacted]",
    ),
    "half a token": ("x" * 150 + "eyJhbGciOiJSUzI1NiJ9" * 20, "[redacted]"),
    "an API token": ("kf_" + "A1b2C3d4" * 5, "[redacted]"),
    "a private key": ("-----BEGIN PRIVATE KEY-----\nMII", "[redacted]"),
    "a name that begins like one": ("eyes-of-the-world.mp4", "eyes-of-the-world.mp4"),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_it_shows_a_subject_in_one_clean_and_bounded_line(
    logged: Logged, key: TestKey, name: str
) -> None:
    subject, shown = SUBJECTS[name]
    line = logged.explain(token=sign(key, sub=subject))
    assert told(line) == ("allowed", key.kid, shown, None)
    raw = next(
        raw for raw in logged.log.read_bytes().splitlines() if line["request_id"].encode() in raw
    )
    assert len(raw) < 2000


def test_it_never_holds_a_token(logged: Logged, key: TestKey) -> None:
    """In whatever place and state it comes, and as whatever part of another one."""
    plain = sign(key)
    tokens = [plain, forged(plain), sign(key, exp=1), sign(key, sub=plain), sign(key, kid=plain)]
    tokens += [sign(key, {"alg": "RS256", "kid": plain}), plain * 9, plain[:-1] + "\xe9"]
    for token in tokens:
        for headers in ways(token):
            logged.ask("/x", *headers)
        logged.ask(play(token))
        logged.ask(f"/{token}/index.m3u8")
        logged.explain(token=token, subject=token, ip=token, country=token)
    log = logged.log.read_bytes()
    for part in {part for token in tokens for part in token.split(".")[1:]}:
        assert part.encode() not in log


def ways(token: str) -> list[Headers]:
    return [
        [("Authorization", f"Bearer {token}")],
        [("Livepeer-Jwt", token)],
        [("Cookie", f"Livepeer-Jwt={token}")],
        [("X-Forwarded-For", token), ("CF-IPCountry", token)],
    ]


@pytest.fixture(scope="module")
def quiet(
    player: Player, house: House, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Logged]:
    """The same player at a server that logs refusals only, and of whom not exactly."""
    log = tmp_path_factory.mktemp("quiet") / "log"
    settings = {"KEYFERRY_LOG_REQUESTS": "refused", "KEYFERRY_LOG_ADDRESSES": "truncated"}
    with serve(house, log, settings | {"KEYFERRY_POOL_SIZE": "1"}) as (url, _):
        yield Logged(player.at(url), log)


def test_it_holds_refusals_alone_when_asked_to(quiet: Logged, key: TestKey) -> None:
    player, text = quiet.player, sign(key)
    player.ask(play(text), [("X-Request-ID", "granted-1")])
    player.explain(token=text)
    player.fetch("/healthz", X_Request_ID="granted-2")
    refused = quiet.explain(token=text, subject="other", ip="2001:db8:1:2::3")
    assert told(refused) == ("subject_mismatch", key.kid, VIDEO, "2001:db8:1::")
    missing = quiet.ask("/x", FORWARDED)
    assert told(missing) == ("token_missing", None, None, "203.0.113.0")
    assert lines_with(quiet.log, "granted") == []
    assert [line["reason"] for line in lines_with(quiet.log, '"event":"request"')] == [
        "subject_mismatch",
        "token_missing",
    ]
