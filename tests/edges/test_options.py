"""The options of `keyferry edge`: read strictly, so that a value is a value in every language."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.edges.site import Options, Site, read_site

ACCOUNT = "0123456789abcdef0123456789abcdef"
COOKIE = {"carry": "cookie"}
TRUST = {"trust": ["10.0.0.0/8"]}


def read(**changes: object) -> Site:
    """Return the site of the least that is needed, with `changes`."""
    options = {"account": ACCOUNT, "keyferry": "http://127.0.0.1:8787", "listen": "8080"}
    return read_site(cast("Options", {**options, **changes}))


BAD: list[dict[str, Any]] = [
    *({"keyferry": url} for url in ("unix:", "unix:sock", "unix:/a/../b", "unix:/a b", "unix:/a;")),
    {"keyferry": "unix:/" + "a" * 107},
    *({"prefix": [text]} for text in ("", "/", "vod", "/vod/", "//vod", "/a/../b", "/.", "/a b")),
    *({"prefix": [text]} for text in ("/a,/b", "/%61", '/"', "/a\n", "/é", "/$uri", "/{a}", "/a;")),
    {"prefix": ["/1/2/3/4/5/6/7/8/9"]},
    {"prefix": [f"/{number}" for number in range(17)]},
    *({"allow_origin": [text]} for text in ("", "a.com", "https://a/", "https://a/b", "null")),
    *({"allow_origin": [text]} for text in ("https://*.a", "https://a\n", 'https://"', "ftp://a")),
    {"allow_origin": ["*", "https://a"]},
    {"cert": "/etc/cert.pem"},
    {"key": "/etc/key.pem"},
    *({"cert": path, "key": "/k"} for path in ("cert.pem", '/"', "/a\n", "/$a", "/{a}", "/a/..")),
    {"carry": "query"},
    {"same_site": "lax"},
    {"secure": True},
    {"carry": "redirect", "same_site": "lax"},
    {"carry": "redirect", "secure": False},
    {**COOKIE, "same_site": "none"},  # browsers want Secure with it
    {**COOKIE, "same_site": "none", "secure": False, "cert": "/c", "key": "/k"},
    {**COOKIE, "same_site": "sometimes"},
    {"country_header": "CF-IPCountry"},  # from whom?
    *({**TRUST, "country_header": text} for text in ("", "A_B", "A B", "A:", "A\n", "1-A", "$a")),
    *({**TRUST, "country_header": text} for text in ("Cookie", "x-forwarded-for", "X-Auth-Sub")),
    *({**TRUST, "country_header": text} for text in ("X-Keyferry-Prefix", "Livepeer-Jwt", "HOST")),
    *({"trust": [text]} for text in ("", "10.0.0.1/8", "10.0.0.0/33", "example.com", "unix:", "5")),
    *({"trust": [text]} for text in ("fe80::1%eth0", 'fe80::1%x"; include /etc/passwd', "::1\n")),
]


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_it_refuses_a_value_with_a_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"should|not"):
        read(**changes)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, None),
        ({"carry": "redirect"}, "redirect"),
        (COOKIE, "cookie"),
        ({**COOKIE, "secure": True}, "cookie; Secure"),
        ({**COOKIE, "cert": "/c", "key": "/k"}, "cookie; Secure"),
        ({**COOKIE, "cert": "/c", "key": "/k", "secure": False}, "cookie"),
        ({**COOKIE, "same_site": "lax"}, "cookie; SameSite=Lax"),
        ({**COOKIE, "same_site": "none", "secure": True}, "cookie; Secure; SameSite=None"),
    ],
)
def test_it_asks_for_a_way_to_carry_a_token(options: dict[str, Any], value: str | None) -> None:
    assert read(**options).carry == value


@pytest.mark.parametrize(
    ("texts", "origins"),
    [
        ([], ()),
        (["*"], ()),
        (["https://Example.COM"], ("https://example.com",)),
        (["https://a:443", "http://b:80", "http://b"], ("https://a", "http://b")),
        (["https://a:8443", "http://[2001:DB8::7]"], ("https://a:8443", "http://[2001:db8::7]")),
    ],
)
def test_it_spells_origins_as_browsers_do(texts: list[str], origins: tuple[str, ...]) -> None:
    assert read(allow_origin=texts).allow_origins == origins


def test_it_takes_odd_names_of_files_and_networks() -> None:
    site = read(
        root="/srv/my videos/#1 é;",
        cert="/etc/my certs/a.pem",
        key="/etc/my certs/b.pem",
        keyferry="unix:/run/keyferry/edge.sock",
        prefix=["/i/VOD", "/a.b", "/i/VOD"],
        trust=["10.0.0.0/8", "2001:DB8::/32", "192.0.2.1"],
        country_header="CF-IPCountry",
    )
    assert (site.root, site.cert) == ("/srv/my videos/#1 é;", "/etc/my certs/a.pem")
    assert site.keyferry.socket == "/run/keyferry/edge.sock"
    assert site.prefixes == ("/i/VOD", "/a.b")
    assert site.trust == ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32")
    assert site.country_header == "CF-IPCountry"
