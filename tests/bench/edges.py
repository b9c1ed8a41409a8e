"""Edges that ask Keyferry, beside the same edges that do not ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import yaml

from tests.bench.compare import Row
from tests.bench.cpu import Meter
from tests.bench.doors import FEWEST_TOKENS, TOKENS
from tests.bench.furniture import VIDEO, SigningKey, as_tenant, keys_of
from tests.bench.load import Ask, Wave
from tests.bench.report import Report, Table, spread
from tests.bench.servers import Bench, Server
from tests.edges.harness import running
from tests.service import Tenant, make_tenant

_SEGMENT = f"/{VIDEO}/seg.ts"
_BYTES = 1000  # of a segment: little, so that the question is what costs
_COLUMNS = [
    "",
    "per second",
    "spread",
    "of the same edge",
    "p50 ms",
    "p99 ms",
    "edge CPU µs",
    "Keyferry CPU µs",
]
# What Keyferry's answer says of the segment, for an nginx that does not ask.
_ANSWER = {"x_auth_path": _SEGMENT, "x_auth_sub": VIDEO, "x_auth_reason": "allowed"}


@dataclass(frozen=True)
class _Pair:
    """An edge that asks and its rival, the same edge otherwise."""

    asking: Row
    rival: Row


def measure_edges(bench: Bench, report: Report, rounds: int, seconds: int) -> None:
    """Measure edges that ask, each right after the same edge that does not, in rounds."""
    socket = bench.folder / "keyferry.sock"
    listen = ["--listen", "127.0.0.1:0", "--listen", f"unix:{socket}"]
    # Nothing is generated meanwhile: a stock of one is full at once.
    with bench.keyferry({"KEYFERRY_POOL_SIZE": "1"}, listen) as server, ExitStack() as stack:
        pairs = _Street(bench, server, socket, stack).pairs(short=report.short)
        for pair in pairs:
            pair.rival.warm_up()
            pair.asking.warm_up()
        for _ in range(rounds):
            for pair in pairs:
                rate = pair.rival.measure(seconds, None).rate
                pair.asking.measure(seconds, rate)
    rivals = {pair.rival.name: pair.rival for pair in pairs}
    rows = [*rivals.values(), *(pair.asking for pair in pairs)]
    report.add(Table("Edges that ask, and edges that do not", _COLUMNS, [_texts(r) for r in rows]))
    report.warnings += [f"{row.name}: bad answers" for row in rows if not _is_good(row)]
    report.missed += [
        f"{row.name}: {median(row.ratios):.3f} of the same edge, not {row.goal:.2f}"
        for row in rows
        if row.goal is not None and median(row.ratios) < row.goal
    ]
    report.figures["edges"] = {row.name: row.figures() for row in rows}


class _Street:
    """The edges that are measured, before one Keyferry; closed with the stack."""

    def __init__(self, bench: Bench, server: Server, socket: Path, stack: ExitStack) -> None:
        self._bench = bench
        self._keyferry = server
        self._stack = stack
        self._tenant = make_tenant(bench.house, server.url, "edges")
        self._key = _key(bench, self._tenant, server)  # before Envoy fetches the JWKS
        self._media = bench.folder / "media"
        segment = self._media / VIDEO / "seg.ts"
        segment.parent.mkdir(parents=True)
        segment.write_bytes(b"\x47" * _BYTES)
        self._nginx = self._start("nginx", "asks")
        self._nginx_by_socket = self._start("nginx", "asks-by-socket", keyferry=f"unix:{socket}")
        self._nginx_alone = self._start("nginx", "alone", change=_without_questions)
        self._envoy = self._start("envoy", "asks")
        self._envoy_alone = self._start("envoy", "alone", change=self._with_jwt_authn)

    def pairs(self, *, short: bool) -> list[_Pair]:
        """Return the rows, each with what it is compared with."""
        tokens = self._key.tokens(FEWEST_TOKENS if short else TOKENS)
        seen, new = tokens[:1], tokens
        nginx = self._row("nginx that does not ask", self._nginx_alone, seen)
        envoy = self._row("Envoy with jwt_authn", self._envoy_alone, seen)
        asks = [
            ("nginx, token seen before", self._nginx, seen, 0.18, nginx),
            ("nginx, token seen before, Unix socket", self._nginx_by_socket, seen, None, nginx),
            ("nginx, new token", self._nginx, new, 0.15, nginx),
            ("nginx, new token, Unix socket", self._nginx_by_socket, new, None, nginx),
            ("Envoy, token seen before", self._envoy, seen, 0.70, envoy),
            ("Envoy, new token", self._envoy, new, None, envoy),
        ]
        return [
            _Pair(self._row(name, server, some, goal), rival)
            for name, server, some, goal, rival in asks
        ]

    def _row(self, name: str, server: Server, tokens: list[str], goal: float | None = None) -> Row:
        asks = [Ask("GET", f"{_SEGMENT}?token={token}") for token in tokens]
        wave = Wave(server.url, asks, self._bench.folder)
        wave.probe(asks[0])
        return Row(name, server, wave, goal=goal)

    def _start(
        self,
        edge: str,
        name: str,
        keyferry: str | None = None,
        change: Callable[[str], str] = str,
    ) -> Server:
        """Start an edge; Envoy has the nginx that does not ask for its origin."""
        started = self._stack.enter_context(
            running(
                edge,
                self._bench.folder / f"{edge}-{name}",
                keyferry_url=keyferry or self._keyferry.url,
                account_id=self._tenant.account_id,
                media=self._media,
                origin_url=self._nginx_alone.url if edge == "envoy" else "",
                change=change,
                probe=_SEGMENT,
            )
        )
        return Server(started.url, started.pid, Meter(started.pid, self._keyferry.pid))

    def _with_jwt_authn(self, text: str) -> str:
        """Let an Envoy verify by itself, with our JWKS, in place of asking."""
        configuration = yaml.safe_load(text)
        [listener] = configuration["static_resources"]["listeners"]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        filters = manager["http_filters"]
        [place] = [
            number for number, each in enumerate(filters) if each["name"].endswith("ext_authz")
        ]
        filters[place] = _jwt_authn(self._keyferry.url, self._tenant.account_id)
        [early] = manager["early_header_mutation_extensions"]
        early["typed_config"]["mutations"].append(
            {"append": {"header": {"key": "x-auth-path", "value": _SEGMENT}}}
        )
        return yaml.safe_dump(configuration)


def _without_questions(text: str) -> str:
    """Let an nginx serve the segment without asking, all else as it is."""
    text = re.sub(r"\bauth_request\s+/[^;]*;", "", text)
    asked = re.compile(r"\bauth_request_set\s+(\$\w+)\s+\$upstream_http_(\w+);")
    return asked.sub(lambda found: f'set {found[1]} "{_ANSWER.get(found[2], "")}";', text)


def _jwt_authn(url: str, account_id: str) -> dict[str, Any]:
    jwks = {
        "http_uri": {
            "uri": f"{url}/accounts/{account_id}/jwks.json",
            "cluster": "keyferry",
            "timeout": "3s",
        },
        "cache_duration": "300s",
        "async_fetch": {},
    }
    provider = {
        "remote_jwks": jwks,
        "from_params": ["token"],
        "claim_to_headers": [{"header_name": "x-auth-sub", "claim_name": "sub"}],
        "forward": True,
    }
    kind = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "keyferry"}}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {"@type": kind, "providers": {"keyferry": provider}, "rules": [rule]},
    }


def _key(bench: Bench, tenant: Tenant, server: Server) -> SigningKey:
    ask = as_tenant(tenant, "POST", keys_of(tenant))
    made = Wave(server.url, [ask], bench.folder).probe(ask).json()["result"]
    return SigningKey(UUID(made["id"]), made["pem"])


def _is_good(row: Row) -> bool:
    return all(load.good for load in row.loads)


def _texts(row: Row) -> list[str]:
    if not _is_good(row):
        return [row.name, "INVALID", *("-" for _ in _COLUMNS[2:])]
    ratio = f"{median(row.ratios):.3f}"
    if row.goal is not None:
        ratio += f" (goal {row.goal:.2f})"
    return [
        row.name,
        f"{row.middle('rate'):,.0f}",
        f"{spread([load.rate for load in row.loads]):.0%}",
        ratio,
        f"{row.middle('p50') / 1000:.2f}",
        f"{row.middle('p99') / 1000:.2f}",
        f"{row.cpu('loops') + row.cpu('threads'):.0f}",
        f"{row.cpu('behind'):.0f}",
    ]
