"""How `--listen` is spelled."""

from __future__ import annotations

import pytest

from gateway.addresses import Inherited, Listen, Purpose, Tcp, Unix, read_listen

API, EDGE, METRICS = Purpose.API, Purpose.EDGE, Purpose.METRICS


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:8787", Listen(API, Tcp("127.0.0.1", 8787))),
        ("localhost:0", Listen(API, Tcp("localhost", 0))),
        ("[::1]:8787", Listen(API, Tcp("::1", 8787))),
        ("[fe80::1%eth0]:65535", Listen(API, Tcp("fe80::1%eth0", 65535))),
        (":8787", Listen(API, Tcp("", 8787))),
        ("edge=10.0.0.5:80", Listen(EDGE, Tcp("10.0.0.5", 80))),
        ("api=unix:/run/keyferry/api", Listen(API, Unix("/run/keyferry/api"))),
        ("unix:/run/a=b:c d", Listen(API, Unix("/run/a=b:c d"))),
        ("edge=unix:/" + "x" * 106, Listen(EDGE, Unix("/" + "x" * 106))),
        ("metrics=fd:keyferry.socket", Listen(METRICS, Inherited("keyferry.socket"))),
        ("fd:3", Listen(API, Inherited("3"))),
    ],
)
def test_it_reads_each_form(text: str, meant: Listen) -> None:
    assert read_listen(text) == meant


@pytest.mark.parametrize("text", ["api=[::1]:0", "edge=unix:/a", "metrics=fd:7", "api=:1"])
def test_it_prints_what_it_reads(text: str) -> None:
    assert str(read_listen(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "HOST:PORT"),
        ("8787", "HOST:PORT"),
        ("127.0.0.1", "HOST:PORT"),
        ("127.0.0.1:65536", "HOST:PORT"),
        ("127.0.0.1:-1", "HOST:PORT"),
        ("127.0.0.1:http", "HOST:PORT"),
        ("127.0.0.1:80\n", "HOST:PORT"),
        ("::1:8787", "IPV6"),
        ("edges=127.0.0.1:80", "edge="),
        ("edge=", "HOST:PORT"),
        ("edge=api=:80", "HOST:PORT"),
        ("http://127.0.0.1:80", "HOST:PORT"),
        ("unix:relative", "path"),
        ("unix:", "path"),
        ("unix:/" + "x" * 107, "107 bytes"),
        ("unix:/" + "\N{GREEK SMALL LETTER PI}" * 54, "107 bytes"),
        ("unix:/a\0b", "path"),
        ("fd:", "socket"),
        ("fd:2", "from 3 on"),
        ("fd:99999999999", "from 3 on"),
        ("fd:a:b", "socket"),
    ],
)
def test_it_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        read_listen(text)
    assert repr(text) in str(refusal.value)
