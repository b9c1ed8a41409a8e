"""Which peers are trusted proxies, for peers that the integration tests cannot be."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.web.client import Headers, Proxies

VIEWER = "203.0.113.9"
FORWARDED = [(b"x-forwarded-for", VIEWER.encode())]
TRUSTED = [ip_network(text) for text in ("127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32")]


def viewer(proxies: Proxies, peer: str | None, headers: Headers) -> str | None:
    address, told = proxies.last_hop(peer, headers)
    return address if told else None


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("::1", True),
        ("::ffff:127.0.0.1", True),  # what a socket for both families says
        ("::ffff:127.0.0.2", False),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("2001:db8:ffff::", True),
        ("2001:db9::", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("unix:", False),
        (None, True),  # on a Unix socket
    ],
)
def test_peers(peer: str | None, trusted: bool) -> None:
    proxies = Proxies(TRUSTED)
    for _ in range(2):  # the second time from memory
        assert proxies.trusts(peer) is trusted
        own = peer and peer.removesuffix("%eth0")  # PostgreSQL knows no scopes
        assert proxies.client(peer, FORWARDED) == (VIEWER if trusted else own)
        assert viewer(proxies, peer, FORWARDED) == (VIEWER if trusted else None)


def test_a_trusted_proxy_that_says_nothing_is_a_client_but_no_viewer() -> None:
    proxies = Proxies(TRUSTED)
    for headers in ([], [(b"x-forwarded-for", b"unknown")]):
        assert proxies.client("::1", headers) == "::1"
        assert viewer(proxies, "::1", headers) is None


def test_the_memory_of_peers_and_headers_is_bounded() -> None:
    proxies = Proxies(TRUSTED)
    for number in range(20_000):
        assert not proxies.trusts(f"192.0.2.{number % 256}:{number}")
        hop = f"{ip_address(number)}"
        assert proxies.client("127.0.0.1", [(b"x-forwarded-for", hop.encode())]) == hop
    long = b",".join([b"192.0.2.1"] * 100)
    assert proxies.client("127.0.0.1", [(b"x-forwarded-for", long)]) == "192.0.2.1"
    assert len(proxies._verdicts) <= 8192
    assert len(proxies._last_hops) <= 8192
    assert proxies._last_hops.get(("127.0.0.1", long)) is None


# Forwarded as a trusted proxy sends it, and whom it speaks of.
TOLD: dict[str, str | None] = {
    f"for={VIEWER}": VIEWER,
    f'For={VIEWER};proto=https;by=10.0.0.1;host="tv.example"': VIEWER,
    f'for="{VIEWER}:51234"': VIEWER,
    f'for="{VIEWER}:_port"': VIEWER,
    'for="[2001:db9::7]:443"': "2001:db9::7",
    'FOR="[2001:DB9::7]"': "2001:db9::7",
    'for="\\2\\03.0.113.9"': VIEWER,
    f"for=192.0.2.1, for={VIEWER}": VIEWER,
    f"for=192.0.2.1, for={VIEWER} , for=10.0.0.1;proto=http": VIEWER,
    'for="[2001:db8::1]";by="a,for=192.0.2.1;", for=10.0.0.1': "2001:db8::1",
    f'by="a\\",for=192.0.2.1";for={VIEWER}': VIEWER,
    f"for={VIEWER}, for=_hidden": None,
    "for=unknown": None,
    "for=_SEVKISEK": None,
    "for=2001:db9::7": None,
    'for="2001:db9::7"': None,
    'for="[203.0.113.9"': None,
    'for="[203.0.113.9]"': None,
    'for="203.0.113.9:65536"': None,
    f"for={VIEWER}:80": None,
    f"for = {VIEWER}": None,
    f"for={VIEWER},": None,
    f"for={VIEWER}, proto=https": None,
    f"for=192.0.2.1;for={VIEWER}": None,
    f'for="{VIEWER}': None,
    f"for={VIEWER} for=192.0.2.1": None,
    f"x, for={VIEWER}": None,
    VIEWER: None,
    "": None,
}


@pytest.mark.parametrize("text", TOLD)
def test_forwarded_is_read_by_setting(text: str) -> None:
    lines = [(b"forwarded", part.encode()) for part in text.split(", ")]
    for headers in (lines, [(b"forwarded", text.encode())]):
        spoofed = [(b"x-forwarded-for", b"192.0.2.66"), *headers]
        assert viewer(Proxies(TRUSTED, b"forwarded"), "127.0.0.1", spoofed) == TOLD[text]
        assert viewer(Proxies(TRUSTED, b"forwarded"), "127.0.0.2", spoofed) is None
        assert viewer(Proxies(TRUSTED), "127.0.0.1", spoofed) == "192.0.2.66"
        assert viewer(Proxies(TRUSTED), "127.0.0.1", headers) is None
