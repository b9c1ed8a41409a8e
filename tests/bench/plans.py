"""How PostgreSQL would carry out each statement of a request: by which index, or by reading all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg

from gateway.storage.database import PLANNING, STATEMENTS
from tests.bench.report import Table
from tests.bench.town import SPKI, Town

_DIALECT = "cloudflare"
# What finds the row at once; another index would have to go through an account's keys.
_BEST = {
    "find_principal": "api_tokens_digest_key",
    "create_key": "allowances_pkey",
    "create_keys": "allowances_pkey",
    "get_keys": "signing_keys_pkey",
    "update_key": "signing_keys_pkey",
    "delete_key": "signing_keys_pkey",
    "published_key": "signing_keys_pkey",
    "published_project_keys": "signing_keys_live",
    "list_keys": "signing_keys_live",
    "page_keys": "signing_keys_live",
    "sealed_keys": "signing_keys_minting",
}


def explain(town: Town) -> tuple[Table, list[str]]:
    """Return the indexes that each hot statement uses, and the statements that read a whole table.

    Both ways of planning are asked: once for all values, as our sessions have it, and for the
    values at hand, where another index may cost as little as the best one.
    """
    return town.house.run(_explain(town))


async def _explain(town: Town) -> tuple[Table, list[str]]:
    rows, faults = [], []
    connection = await asyncpg.connect(town.house.dsn)
    try:
        for name, values in _hot(town).items():
            sql = getattr(STATEMENTS, name).sql
            told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *values)
            _, scans = _read(json.loads(told))
            plan = await _generic(connection, name, sql, len(values))
            indexes, generic = _read(plan)
            rows.append([name, _joined(indexes), _joined(generic), _joined(scans)])
            faults += [f"{name} reads all of {table}" for table in sorted(scans | generic)]
            if name == "list_keys" and "Index Only Scan" not in _kinds(plan):
                faults.append("list_keys reads rows of the table")
            if (best := _BEST.get(name, "")) not in indexes | {""}:
                faults.append(f"{name} does not go by {best}")
    finally:
        await connection.close()
    columns = ["statement", "indexes", "tables read whole", "the same, planned for values at hand"]
    return Table("Plans with all keys in place", columns, rows), faults


async def _generic(connection: Any, name: str, sql: str, count: int) -> Any:
    """Return the plan that serves any values."""
    await connection.execute(PLANNING)
    await connection.execute(f"PREPARE {name} AS {sql}")
    nulls = ", ".join(["NULL"] * count)
    told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {name}({nulls})")
    await connection.execute("RESET ALL")
    return json.loads(told)


def _hot(town: Town) -> dict[str, tuple[object, ...]]:
    """Return the statements of requests, and values as a request binds them."""
    place, key, now = town.places[7], town.keys[7], datetime.now().astimezone()
    account, project, digest, author = place.account_id, place.project_id, bytes(32), uuid4()
    said = (author, "a-request", "127.0.0.1")
    created = (uuid4(), "a name", None, "RS256", SPKI, digest, None)
    batch = [[value] for value in (account, project, *created[:-1], *said)]
    return {
        "find_principal": (digest,),
        "create_key": (account, project, _DIALECT, 1000, *created, *said),
        "quota_of": (account, _DIALECT, 1000),
        "retire_retried": (account, project, _DIALECT, digest, *said),
        "create_keys": (*batch[:2], _DIALECT, 1000, *batch[2:]),
        "get_keys": ([key], [account], [project]),
        "list_keys": ([account], [None]),
        "page_keys": ([account], [project], [21]),
        "search_project_keys": (account, project, 21, key, None, None, None, None, 0, -1, 0),
        "cursor_exists": (account, project, key),
        "count_project_keys": (account, project, None, None, None, None),
        "update_key": (account, key, project, "a name", None, "{}", _DIALECT, *said),
        "delete_key": (account, key, project, _DIALECT, *said),
        "key_states": ([key], [digest]),
        "touch_keys": ([key], [now]),
        "touch_tokens": ([author], [now]),
        "published_keys": (account,),
        "published_project_keys": (account, project),
        "published_key": (key,),
        "minting_key": (account,),
        "sealed_keys": (account, 100),
    }


def _read(plan: Any) -> tuple[set[str], set[str]]:
    """Return the indexes that a plan names, and the tables that it reads from end to end."""
    nodes = list(_nodes(plan[0]["Plan"]))
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
    indexes |= {name for node in nodes for name in node.get("Conflict Arbiter Indexes", [])}
    scans = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    return indexes, scans


def _kinds(plan: Any) -> set[str]:
    return {node["Node Type"] for node in _nodes(plan[0]["Plan"])}


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", []):
        yield from _nodes(inner)


def _joined(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "-"
