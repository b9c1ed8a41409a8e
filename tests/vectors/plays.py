"""One token and many plays: paths, and access rules by address and country."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.vectors.forge import CLOCK, VIDEO, token, vector

if TYPE_CHECKING:
    from tests.vectors.forge import Vector

GOOD = token()
OTHER = "ea95132c15732412d22c1476fa83f27a"


def vectors() -> list[Vector]:
    return [*paths(), *prefixes(), *subjects(), *rules(), *malformed_rules(), *order()]


def paths() -> list[Vector]:
    encoded = "%35" + VIDEO[1:]
    cases = {
        f"/{VIDEO}/manifest/video.m3u8": "allowed",
        f"/{VIDEO}": "allowed",
        f"/{VIDEO}/": "allowed",
        f"/{VIDEO}//a.ts": "allowed",
        f"/{VIDEO}.m3u8": "allowed",
        f"/{VIDEO}%2Em3u8": "allowed",
        f"/{VIDEO}.m3u8?token=x": "allowed",
        f"/hls/{VIDEO}/720p/seg-1.ts?token=x": "allowed",
        f"/hls/{VIDEO}.m3u8": "allowed",
        f"/%68ls/{VIDEO}/a.ts": "allowed",
        f"/hls/video+{VIDEO}/a.ts": "allowed",
        f"/hls/video%2B{VIDEO}/a.ts": "allowed",
        f"/video+{VIDEO}.m3u8": "allowed",
        f"/asset/hls/{VIDEO}/a.ts": "allowed",
        f"/recordings/{VIDEO}/a.ts": "allowed",
        f"/{encoded}/a.ts": "allowed",
        f"/{VIDEO}/a%20b/a;v=1.ts": "allowed",
        f"/{GOOD}/manifest/video.m3u8": "allowed",
        f"/{GOOD}": "allowed",
        f"/{GOOD}.m3u8": "allowed",
        f"/hls/video+{GOOD}/a.ts": "allowed",
        f"/{GOOD}/downloads/default.mp4": "allowed",
        f"/{GOOD.replace('.', '%2E')}/iframe": "allowed",
        f"/{OTHER}/manifest/video.m3u8": "subject_mismatch",
        f"/{OTHER}/a.ts?v=/{VIDEO}/": "subject_mismatch",
        f"/{OTHER}/{VIDEO}/a.ts": "subject_mismatch",
        f"/{OTHER}/{GOOD}/a.ts": "subject_mismatch",
        f"/a%20b/{VIDEO}/a.ts": "subject_mismatch",
        f"/asset/{VIDEO}/a.ts": "subject_mismatch",
        f"/asset/hls/x/{VIDEO}/a.ts": "subject_mismatch",
        f"/hls/hls/{VIDEO}/a.ts": "subject_mismatch",
        f"/HLS/{VIDEO}/a.ts": "subject_mismatch",
        f"/{VIDEO}.m3u8/a.ts": "subject_mismatch",
        f"/{VIDEO}.tar.gz": "subject_mismatch",
        f"/video+video+{VIDEO}/a.ts": "subject_mismatch",
        f"/Video+{VIDEO}/a.ts": "subject_mismatch",
        f"/video%20{VIDEO}/a.ts": "subject_mismatch",
        f"/x{VIDEO}/a.ts": "subject_mismatch",
        f"/{VIDEO.upper()}/a.ts": "subject_mismatch",
        f"/{VIDEO}%20/a.ts": "subject_mismatch",
        f"/{GOOD}x/manifest/video.m3u8": "subject_mismatch",
        "/": "subject_mismatch",
        "/hls": "subject_mismatch",
        "/hls/": "subject_mismatch",
        "": "path_ambiguous",
        f"/hls//{VIDEO}/a.ts": "path_ambiguous",
        f"/asset//hls/{VIDEO}/a.ts": "path_ambiguous",
        f"/{VIDEO}.m3u8/": "path_ambiguous",
        f"{VIDEO}/a.ts": "path_ambiguous",
        f"//{VIDEO}/{OTHER}/a.ts": "path_ambiguous",
        f"http://{VIDEO}/{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/../{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/./a.ts": "path_ambiguous",
        f"/{VIDEO}/..": "path_ambiguous",
        f"/{VIDEO}/%2e%2e/{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/.%2E/{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/..%2f{OTHER}/a.ts": "path_ambiguous",
        f"/{OTHER}%2F..%2F{VIDEO}/a.ts": "path_ambiguous",
        f"/{VIDEO}/..%5c{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/..\\{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/..;/{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/..;x=1/{OTHER}/a.ts": "path_ambiguous",
        f"/{VIDEO}/%252e%252e/{OTHER}/a.ts": "path_ambiguous",
        f"/{OTHER}%252f{VIDEO}/a.ts": "path_ambiguous",
        f"/{VIDEO}%00/{OTHER}": "path_ambiguous",
        f"/{VIDEO}/%0d%0a": "path_ambiguous",
        f"/{VIDEO}/%zz": "path_ambiguous",
        f"/{VIDEO}/%": "path_ambiguous",
        f"/{VIDEO}/%ff": "path_ambiguous",
        f"/{VIDEO}/%c0%af": "path_ambiguous",
        f"/{VIDEO}/é": "path_ambiguous",
        f"/{VIDEO}#/../{OTHER}": "path_ambiguous",
    }
    made = [
        vector(f"path {path.replace(GOOD, 'TOKEN')!r}", reason, GOOD, subject=None, path=path)
        for path, reason in cases.items()
    ]
    accent, there = token(sub="Zoë"), f"/{VIDEO}/a.ts"
    return [
        *made,
        vector("path, sub beyond ASCII", "allowed", accent, subject=None, path="/Zo%C3%AB/a"),
        vector(
            "subject decides over the path", "subject_mismatch", GOOD, subject=OTHER, path=there
        ),
        vector("subject decides without the path", "allowed", GOOD, path=f"/{OTHER}/../x"),
    ]


def prefixes() -> list[Vector]:
    """Prefixes that an edge adds to the known ones; the longest counts."""
    cases = {
        ("/i/VOD, /vod", f"/i/VOD/{VIDEO}/a.ts"): "allowed",
        ("/i/VOD, /vod", f"/vod/{VIDEO}.m3u8"): "allowed",
        ("/i/VOD, /vod", f"/hls/{VIDEO}/a.ts"): "allowed",
        ("/i/VOD, /vod", f"/{VIDEO}/a.ts"): "allowed",
        ("/i/VOD, /vod", f"/i/{VIDEO}/a.ts"): "subject_mismatch",
        ("/i/VOD, /vod", f"/i/vod/{VIDEO}/a.ts"): "subject_mismatch",
        ("/i/VOD, /vod", f"/i//VOD/{VIDEO}/a.ts"): "path_ambiguous",
        ("/i, /i/VOD", f"/i/VOD/{VIDEO}/a.ts"): "allowed",
        ("/i/VOD, /i", f"/i/{VIDEO}/a.ts"): "allowed",
        (f"/{VIDEO}", f"/{VIDEO}/a.ts"): "subject_mismatch",
        ("", f"/vod/{VIDEO}/a.ts"): "subject_mismatch",
    }
    return [
        vector(
            f"path {path!r} with {added!r}", reason, GOOD, subject=None, path=path, prefixes=added
        )
        for (added, path), reason in cases.items()
    ]


def subjects() -> list[Vector]:
    """Subjects that read as another one, or as a prefix: none opens what is not its own."""
    cases = {
        ("..", "/../a"): "sub_malformed",
        ("a/b", "/a/b"): "subject_mismatch",
        ("a/b", "/a%2fb"): "path_ambiguous",
        ("a/b", "/TOKEN/x.ts"): "path_ambiguous",
        ("a\\b", "/TOKEN/x.ts"): "path_ambiguous",
        ("%2F", "/TOKEN/x.ts"): "path_ambiguous",
        ("..;", "/TOKEN/x.ts"): "path_ambiguous",
        ("a b", "/TOKEN/x.ts"): "allowed",
        ("a", "/a.m3u8"): "allowed",
        ("a", "/a.m3u8/x.ts"): "subject_mismatch",
        ("a.m3u8", "/a.m3u8"): "subject_mismatch",
        ("a.m3u8", "/a.m3u8/x.ts"): "allowed",
        ("a.m3u8", "/a.m3u8.m3u8"): "allowed",
        ("a.m3u8", "/TOKEN"): "path_ambiguous",
        ("a.m3u8", "/TOKEN.m3u8"): "allowed",
        ("a.m3u8", "/TOKEN/x.ts"): "allowed",
        ("a", "/TOKEN"): "allowed",
        ("a", "/video+a/x.ts"): "allowed",
        ("video+a", "/video+a/x.ts"): "subject_mismatch",
        ("video+a", "/video+video+a/x.ts"): "path_ambiguous",
        ("video+a", "/TOKEN/x.ts"): "path_ambiguous",
        ("video+", "/video+video+/x.ts"): "path_ambiguous",
        ("hls", "/hls/x.ts"): "subject_mismatch",
        ("x", "/hls/x.ts"): "allowed",
        ("hls", "/hls/hls/x.ts"): "allowed",
        ("hls", "/hls.m3u8"): "allowed",
        ("hls", "/TOKEN/x.ts"): "path_ambiguous",
        ("hls", "/video+hls/x.ts"): "path_ambiguous",
        ("hls", "/hls/TOKEN/x.ts"): "allowed",
        ("asset", "/TOKEN/hls/x.ts"): "path_ambiguous",
        ("asset", "/TOKEN/x.ts"): "allowed",
        ("asset", "/asset/x.ts"): "allowed",
        ("asset", "/asset/hls/x.ts"): "subject_mismatch",
        ("asset", "/asset/hls;v=1/x.ts"): "path_ambiguous",
        ("asset", "/asset;v=1/x.ts"): "path_ambiguous",
        ("asset;v=1", "/asset;v=1/x.ts"): "path_ambiguous",
        ("a", "/a.m3u8;v=1"): "allowed",
        ("a", "/a.m3u8;v=1.2"): "path_ambiguous",
        ("a", "/a/b;v=1/x.ts"): "allowed",
    }
    made = []
    for (subject, path), reason in cases.items():
        text = token(sub=subject)
        told = path.replace("TOKEN", text)
        made.append(vector(f"sub {subject!r} at {path!r}", reason, text, subject=None, path=told))
    return made


def rule(kind: str, action: str, **more: object) -> dict[str, object]:
    return {"type": kind, "action": action, **more}


ANY_BLOCK = rule("any", "block")
GB = rule("ip.geoip.country", "allow", country=["GB", "IE"])
OFFICE = rule("ip.src", "allow", ip=["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"])
BANNED = rule("ip.src", "block", ip=["203.0.113.66"])


def rules() -> list[Vector]:
    viewers: dict[str, dict[str, Any]] = {
        "office v4": {"address": "203.0.113.9", "country": "US"},
        "office v4, mapped": {"address": "::ffff:203.0.113.9", "country": "US"},
        "office v6": {"address": "2001:db8:1::1", "country": "US"},
        "v6 elsewhere": {"address": "2001:db9::1", "country": "US"},
        "single address": {"address": "198.51.100.7", "country": "US"},
        "next to it": {"address": "198.51.100.8", "country": "US"},
        "at home in GB": {"address": "192.0.2.1", "country": "gb"},
        "banned": {"address": "203.0.113.66", "country": "GB"},
        "no address": {"country": "GB"},
        "address is no address": {"address": "unknown", "country": "GB"},
        "no country": {"address": "192.0.2.1"},
        "country XX": {"address": "192.0.2.1", "country": "XX"},
        "Tor": {"address": "192.0.2.1", "country": "T1"},
        "nothing known": {},
    }
    sets: dict[str, tuple[list[dict[str, object]], list[str]]] = {
        "none": ([], ["allowed"] * 14),
        "block any": ([ANY_BLOCK], ["blocked"] * 14),
        "allow any": ([rule("any", "allow"), ANY_BLOCK], ["allowed"] * 14),
        "office only": (
            [OFFICE, ANY_BLOCK],
            [*["allowed"] * 3, "blocked", "allowed", "blocked", "blocked", "allowed"]
            + ["address_unknown"] * 2
            + ["blocked"] * 3
            + ["address_unknown"],
        ),
        "banned, then GB, then nobody": (
            [BANNED, GB, ANY_BLOCK],
            [*["blocked"] * 6, "allowed", "blocked_address"]
            + ["address_unknown"] * 2
            + ["country_unknown"] * 2
            + ["blocked", "address_unknown"],
        ),
        "block GB, else anybody": (
            [rule("ip.geoip.country", "block", country=["gb"])],
            ["allowed"] * 6
            + ["blocked_country"] * 4
            + ["country_unknown"] * 2
            + ["allowed"]
            + ["country_unknown"],
        ),
        "all of IPv4": (
            [rule("ip.src", "allow", ip=["0.0.0.0/0"]), ANY_BLOCK],
            ["allowed", "allowed", "blocked", "blocked", *["allowed"] * 4]
            + ["address_unknown"] * 2
            + ["allowed"] * 3
            + ["address_unknown"],
        ),
        "all of IPv6": (
            [rule("ip.src", "allow", ip=["::/0"]), ANY_BLOCK],
            ["blocked", "blocked", "allowed", "allowed", *["blocked"] * 4]
            + ["address_unknown"] * 2
            + ["blocked"] * 3
            + ["address_unknown"],
        ),
        "mapped network": (
            [rule("ip.src", "allow", ip=["::ffff:203.0.113.0/120"]), ANY_BLOCK],
            ["allowed", "allowed", *["blocked"] * 5, "allowed"]
            + ["address_unknown"] * 2
            + ["blocked"] * 3
            + ["address_unknown"],
        ),
        "host bits set, five rules": (
            [BANNED, rule("ip.src", "allow", ip=["203.0.113.9/24"]), *[ANY_BLOCK] * 3],
            ["allowed", "allowed", *["blocked"] * 5, "blocked_address"]
            + ["address_unknown"] * 2
            + ["blocked"] * 3
            + ["address_unknown"],
        ),
    }
    return [
        vector(f"rules {name}: {viewer}", reason, token(accessRules=held), **facts)
        for name, (held, reasons) in sets.items()
        for (viewer, facts), reason in zip(viewers.items(), reasons, strict=True)
    ]


def malformed_rules() -> list[Vector]:
    lists: dict[str, object] = {
        "null": None,
        "an object": ANY_BLOCK,
        "a string": "any",
        "six of them": [ANY_BLOCK] * 6,
        "a string within": ["any"],
        "an empty rule": [{}],
        "no action": [{"type": "any"}],
        "no type": [{"action": "allow"}],
        "unknown type": [rule("ip.asn", "allow", asn=[1])],
        "type a list": [{"type": ["any"], "action": "allow"}],
        "type in another case": [rule("ANY", "allow")],
        "unknown action": [rule("any", "log")],
        "action in another case": [rule("any", "Allow")],
        "action true": [{"type": "any", "action": True}],
        "ip.src without ip": [rule("ip.src", "allow")],
        "ip.src with a string": [rule("ip.src", "allow", ip="203.0.113.1")],
        "ip.src with an empty list": [rule("ip.src", "block", ip=[])],
        "ip.src with a number": [rule("ip.src", "allow", ip=[3405803777])],
        "ip.src with a name": [rule("ip.src", "allow", ip=["localhost"])],
        "ip.src with a space": [rule("ip.src", "allow", ip=[" 203.0.113.1"])],
        "ip.src with a short address": [rule("ip.src", "allow", ip=["203.0.113"])],
        "ip.src with leading zeros": [rule("ip.src", "allow", ip=["203.0.113.010"])],
        "ip.src with a netmask": [rule("ip.src", "allow", ip=["203.0.113.0/255.255.255.0"])],
        "ip.src with /33": [rule("ip.src", "allow", ip=["203.0.113.0/33"])],
        "ip.src with a negative length": [rule("ip.src", "allow", ip=["203.0.113.0/-1"])],
        "ip.src with a zone": [rule("ip.src", "allow", ip=["fe80::1%eth0"])],
        "ip.src with one bad of two": [rule("ip.src", "allow", ip=["203.0.113.1", "x"])],
        "country missing": [rule("ip.geoip.country", "allow")],
        "country a string": [rule("ip.geoip.country", "allow", country="GB")],
        "country of three letters": [rule("ip.geoip.country", "allow", country=["GBR"])],
        "country empty": [rule("ip.geoip.country", "allow", country=[""])],
        "country null": [rule("ip.geoip.country", "allow", country=[None])],
        "any narrowed by ip": [rule("any", "allow", ip=["203.0.113.1"])],
        "ip.src narrowed by country": [{**OFFICE, "country": ["GB"]}],
        "a member nobody knows": [rule("any", "allow", until="tomorrow")],
        "a bad one after one that matches": [rule("any", "allow"), {}],
    }
    viewer: dict[str, Any] = {"address": "203.0.113.1", "country": "GB"}
    return [
        vector(f"rules malformed: {name}", "rules_malformed", token(accessRules=held), **viewer)
        for name, held in lists.items()
    ] + [
        vector(
            "rules with empty members of other types",
            "blocked",
            token(accessRules=[{**ANY_BLOCK, "ip": [], "country": None}]),
            **viewer,
        )
    ]


def order() -> list[Vector]:
    """Which reason wins when there are several: what is sounder is told first."""
    everything = token(exp=CLOCK - 99, sub=OTHER, accessRules=[ANY_BLOCK])
    return [
        vector("expired before other video", "expired", everything, download=True),
        vector("other video before download", "subject_mismatch", token(sub=OTHER), download=True),
        vector(
            "download before rules",
            "download_refused",
            token(accessRules=[ANY_BLOCK]),
            download=True,
        ),
    ]
