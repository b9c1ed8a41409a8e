"""Which peers are trusted proxies, for peers that the integration tests cannot be."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.web.client import Proxies

VIEWER = "203.0.113.9"
FORWARDED = [(b"x-forwarded-for", VIEWER.encode())]
TRUSTED = [ip_network(text) for text in ("127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32")]


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
        (None, False),
    ],
)
def test_peers(peer: str | None, trusted: bool) -> None:
    proxies = Proxies(TRUSTED)
    for _ in range(2):  # the second time from memory
        assert proxies.trusts(peer) is trusted
        own = peer and peer.removesuffix("%eth0")  # PostgreSQL knows no scopes
        assert proxies.client(peer, FORWARDED) == (VIEWER if trusted else own)
        assert proxies.viewer(peer, FORWARDED) == (VIEWER if trusted else None)


def test_a_trusted_proxy_that_says_nothing_is_a_client_but_no_viewer() -> None:
    proxies = Proxies(TRUSTED)
    for headers in ([], [(b"x-forwarded-for", b"unknown")]):
        assert proxies.client("::1", headers) == "::1"
        assert proxies.viewer("::1", headers) is None


def test_the_memory_of_peers_is_bounded() -> None:
    proxies = Proxies(TRUSTED)
    for number in range(5000):
        assert not proxies.trusts(f"192.0.2.{number % 256}:{number}")
    assert len(proxies._verdicts) <= 1001
