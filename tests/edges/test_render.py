"""What `keyferry edge` prints, and what it refuses to print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.edges import EDGES, companions, render, render_mediamtx
from tests.edges.certificate import write_certificate
from tests.edges.harness import EVERY, SERVE_FILES, find_faults, kind_of, write

ACCOUNT = "0123456789abcdef0123456789abcdef"


def site(edge: str, **changes: Any) -> dict[str, Any]:
    """Return what `render` needs for `edge`, with `changes`."""
    place = {"root": "/srv/media"} if edge in SERVE_FILES else {"origin": "http://10.0.0.9:9000"}
    values = {"keyferry": "http://127.0.0.1:8787", "account": ACCOUNT, "listen": "8080"}
    return {**values, **place, **changes}


LISTS = {
    "allow_origin": ["https://a.example", "http://[2001:db8::7]:8080", "https://" + "a" * 250],
    "prefix": [f"/prefix-{number}/of.ids/~" for number in range(16)],
    "trust": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1", "0.0.0.0/1"],
}
SITES: dict[str, dict[str, Any]] = {
    "the least": {},
    "IPv6": {
        "keyferry": "http://[::1]:8787/",
        "origin": "http://[::1]:9000",
        "listen": "[::1]:8080",
        "trust": ["127.0.0.1"],
        "carry": "redirect",
    },
    "HTTPS on every side": {
        "keyferry": "https://localhost",
        "origin": "https://localhost:8443",
        "listen": ":8443",
        "cert": "cert.pem",
        "key": "key.pem",
        "carry": "cookie",
        "same_site": "none",
        **LISTS,
    },
    "a folder and a socket": {
        "keyferry": "unix:/run/keyferry/edge.sock",
        "root": "/srv/My videos; #1",
        "trust": ["127.0.0.1"],
        "country_header": "CloudFront-Viewer-Country",
        "carry": "redirect",
        "allow_origin": ["https://a"],
    },
    "an origin and a socket": {
        "keyferry": "unix:/run/keyferry/edge.sock",
        "origin": "http://127.0.0.1:9000",
        "country_header": "X-Country",
        "carry": "cookie",
        "secure": True,
        **LISTS,
    },
}


def possible(edge: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what `render` takes for `edge`, as near to `options` as it can."""
    kind, options = kind_of(edge), dict(options)
    if "cert" in options:
        options |= {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
        write_certificate(folder / "cert.pem", folder / "key.pem")
    if kind not in SERVE_FILES or "origin" in options:
        options["root"] = None
    if kind == "traefik" and options.get("keyferry", "").startswith("unix:"):
        del options["keyferry"]
    return site(kind, **options)


@pytest.mark.parametrize("edge", EVERY)
@pytest.mark.parametrize("options", SITES.values(), ids=SITES)
def test_the_edge_takes_it(edge: str, options: dict[str, Any], tmp_path: Path) -> None:
    text = render(kind_of(edge), **possible(edge, options, tmp_path))
    assert "@@" not in text
    assert "@{" not in text
    write(edge, tmp_path, text)
    assert find_faults(edge, tmp_path) == ""


@pytest.mark.parametrize("edge", EDGES)
def test_account_with_dashes(edge: str) -> None:
    dashed = render(edge, **site(edge, account="01234567-89AB-cdef-0123-456789abcdef"))
    assert dashed == render(edge, **site(edge))
    assert f"/accounts/{ACCOUNT}/verify" in dashed


@pytest.mark.parametrize(
    ("listen", "line"),
    [
        ("8080", "listen 0.0.0.0:8080;"),
        (":8080", "listen 0.0.0.0:8080;"),
        ("192.0.2.1:80", "listen 192.0.2.1:80;"),
        ("[2001:DB8::1]:80", "listen [2001:db8::1]:80;"),
    ],
)
def test_where_to_listen(listen: str, line: str) -> None:
    assert line in render("nginx", **site("nginx", listen=listen))


BAD = [
    ("keyferry", "127.0.0.1:8787"),
    ("keyferry", "ftp://127.0.0.1"),
    ("keyferry", "http://127.0.0.1:8787/path"),
    ("keyferry", "http://user@127.0.0.1"),
    ("keyferry", "http://127.0.0.1:0"),
    ("keyferry", "http://127.0.0.1:65536"),
    ("keyferry", "http://a;b"),
    ("keyferry", "http://a b"),
    ("keyferry", "http://a\n"),
    ("keyferry", "http://[:::]"),
    ("account", "0123"),
    ("account", ACCOUNT[:-1] + "g"),
    ("listen", "localhost:80"),
    ("listen", "300.0.0.1:80"),
    ("listen", "80; include /etc/passwd"),
    ("listen", "8080\n"),
    ("listen", ""),
]
BAD_ROOTS = ["media", "/srv/../etc", "/srv/.", "/srv/", "//srv", "/srv\n", "/srv/\x7f", "/", ""]
BAD_ROOTS += [f"/srv/{special}" for special in ('"', "'", "`", "\\", "$uri", "{x", "x}")]
BAD_ORIGINS = ["10.0.0.9:9000", "http://10.0.0.9/a", "http://x y", 'http://x"', ""]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value(edge: str, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"should|not"):
        render(edge, **site(edge, **{name: value}))


@pytest.mark.parametrize("edge", EDGES)
def test_bad_place(edge: str) -> None:
    name, values = ("root", BAD_ROOTS) if edge in SERVE_FILES else ("origin", BAD_ORIGINS)
    for value in values:
        with pytest.raises(ValueError, match="should"):
            render(edge, **site(edge, **{name: value}))


@pytest.mark.parametrize("edge", EDGES)
def test_the_other_kind_of_place(edge: str) -> None:
    both = site(edge, root="/srv/media", origin="http://10.0.0.9:9000")
    neither = site(edge, root=None, origin=None)
    for values in (both, neither):
        with pytest.raises(ValueError, match=f"^{edge} serves"):
            render(edge, **values)


def test_unknown_edge() -> None:
    with pytest.raises(ValueError, match="choose one of nginx, caddy, traefik, envoy, haproxy"):
        render("apache", **site("nginx"))


def test_companions() -> None:
    assert [edge for edge in EDGES if companions(edge)] == ["traefik", "haproxy"]
    assert list(companions("haproxy")) == ["keyferry.lua"]


def test_it_leaves_no_option_out_in_silence() -> None:
    with pytest.raises(ValueError, match=r"^traefik cannot ask over a Unix socket"):
        render("traefik", **site("traefik", keyferry="unix:/run/keyferry.sock"))


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ({"keyferry": "unix:/run/keyferry"}, "Unix socket"),
        ({"keyferry": "ftp://host"}, "Keyferry"),
        ({"prefix": ["live"]}, "prefix"),
        ({"prefix": ["/a,/b"]}, "prefix"),
        ({"root": "/srv"}, "root"),
        ({"origin": "http://host"}, "origin"),
        ({"trust": ("10.0.0.0/8",)}, "trust"),
        ({"same_site": "lax"}, "same-site"),
        ({"secure": False}, "secure"),
        ({"listen": "8080"}, "listen"),
    ],
)
def test_mediamtx_takes_no_option_in_vain(option: dict[str, Any], word: str) -> None:
    usual: dict[str, Any] = {"account": ACCOUNT, "keyferry": "http://127.0.0.1:8787", "prefix": ()}
    assert "authMethod: http\n" in render_mediamtx(**usual, root=None, trust=(), secure=None)
    with pytest.raises(ValueError, match=word):
        render_mediamtx(**{**usual, **option})
