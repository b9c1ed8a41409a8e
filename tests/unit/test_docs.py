"""What README.md and docs/ have to mention, and the tables in them that the code decides.

`DOCS=write pytest tests/unit/test_docs.py` writes those tables anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import click
import pytest
from prometheus_client import Gauge
from prometheus_client.metrics import MetricWrapperBase

from adapters import find_dialects
from gateway import settings
from gateway.app import _Core, _watch
from gateway.cli.group import main
from gateway.edges import EDGES
from gateway.errors import Code
from gateway.storage.condition import State
from gateway.verdicts import EXPLANATIONS, Reason, Verdict
from gateway.web.health import Status
from gateway.web.metrics import Metrics
from gateway.web.neutral import STATUSES
from gateway.web.verify import _status

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
DASHBOARD = ROOT / "docs" / "grafana.json"
_SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
_SETTING = re.compile(r'reader\.get\(\s*(f?)"([^"]+)"')


def reasons() -> Iterator[str]:
    yield "| reason | status | what it means |"
    yield "| --- | --- | --- |"
    for reason in Reason:
        yield f"| `{reason.value}` | {_status(Verdict(reason))} | {EXPLANATIONS[reason]} |"


def commands() -> Iterator[str]:
    yield "| command | what it does |"
    yield "| --- | --- |"
    for name, command in sorted_commands(main, "keyferry"):
        yield f"| `{name}` | {command.get_short_help_str(200)} |"


def sorted_commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from sorted_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def metrics() -> Iterator[str]:
    yield "| metric | type | labels | meaning | of several workers |"
    yield "| --- | --- | --- | --- | --- |"
    for metric in registered():
        names = ", ".join(f"`{name}`" for name in shown(metric))
        labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"
        told = f"{metric._type} | {labels} | {metric._documentation} | {combined(metric)}"
        yield f"| {names} | {told} |"


def registered() -> list[MetricWrapperBase]:
    """Return every metric of the program, none of which is read."""
    program = Metrics()
    core = SimpleNamespace(database=None, feed=None, keyring=None, pool=None)
    _watch(program, cast("_Core", core), 16)
    found = list(program.registry._collector_to_names)
    wrappers = [metric for metric in found if isinstance(metric, MetricWrapperBase)]
    assert len(wrappers) == len(found) > 15
    return wrappers


def shown(metric: MetricWrapperBase) -> list[str]:
    """Return the names under which Prometheus knows a metric."""
    return [metric._name + suffix for suffix in _SUFFIXES[str(metric._type)]]


def combined(metric: MetricWrapperBase) -> str:
    if not isinstance(metric, Gauge):
        return "sum"
    return metric._multiprocess_mode.removeprefix("live")


def names_of_settings() -> Iterator[str]:
    source = Path(settings.__file__).read_text()
    for formatted, name in _SETTING.findall(source):
        if formatted:
            yield from (name.format(prefix=dialect.name.upper()) for dialect in find_dialects())
        else:
            yield name


TABLES = {
    "reasons": ("verification.md", reasons),
    "commands": ("commands.md", commands),
    "metrics": ("metrics.md", metrics),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_say_what_the_code_does(name: str) -> None:
    file, rows = TABLES[name]
    page = ROOT / "docs" / file
    marked = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text = page.read_text()
    table = "".join(f"{row}\n" for row in rows())
    renewed, found = marked.subn(lambda match: match[1] + table + match[2], text)
    assert found == 1
    if os.environ.get("DOCS") == "write":
        page.write_text(renewed)
    assert page.read_text() == renewed


@pytest.mark.parametrize("code", Code)
def test_every_error_code_is_explained_with_its_status(code: Code) -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    assert re.search(rf"^\| `{code.value}` \| {STATUSES[code]} \| .+ \|$", page, re.MULTILINE)


def test_settings_are_found() -> None:
    names = set(names_of_settings())
    assert len(names) > 20
    assert {"DATABASE_URL", "LIVEPEER_QUOTA", "STALENESS"} <= names


@pytest.mark.parametrize("name", sorted(names_of_settings()))
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"| `KEYFERRY_{name}` |" in (ROOT / "README.md").read_text()


def test_no_setting_is_made_up() -> None:
    known = {settings.PREFIX + name for name in names_of_settings()}
    told = set(re.findall(r"\bKEYFERRY_(?!LOAD_)[A-Z_]+[A-Z]\b", TEXT))  # LOAD_: of k6 scripts
    foreign = {name for name in told if settings._is_foreign(name, "tcp://10.0.0.1:8787")}
    assert told - foreign <= known


@pytest.mark.parametrize("edge", EDGES)
def test_every_edge_has_a_command_for_a_service_manager(edge: str) -> None:
    text = (ROOT / "docs" / "edges.md").read_text()
    section = text.split(f"\n## {edge}\n")[1].split("\n## ")[0]
    command = re.search(r"^- As a service: `ExecStart=(\S+) .*foreground", section, re.MULTILINE)
    assert command is not None
    assert Path(command[1]).name == edge


def test_every_answer_of_readyz_is_explained() -> None:
    text = (ROOT / "docs" / "operation.md").read_text()
    rows = set(re.findall(r"^\| `([a-z-]+)` \| (?!-)", text, re.MULTILINE))
    assert rows - {"status", "database"} == {*get_args(Status), *get_args(State)}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("file", ["metrics.md", DASHBOARD.name])
def test_no_metric_and_no_label_is_made_up(file: str) -> None:
    text = (ROOT / "docs" / file).read_text()
    assert set(re.findall(r"\bkeyferry_\w+", text)) <= {
        name for metric in registered() for name in shown(metric)
    }
    grouped = ",".join(re.findall(r"\b(?:by|ignoring|on) \(([^)]+)\)", text))
    labels = {label for metric in registered() for label in metric._labelnames}
    assert set(re.findall(r"\w+", grouped)) <= labels | {"le", "instance"}


def panels() -> list[dict[str, Any]]:
    """Return what the dashboard shows, the headings of its rows left out."""
    everything: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in everything if panel["type"] != "row"]


@pytest.mark.parametrize("metric", registered(), ids=lambda metric: metric._name)
def test_the_dashboard_shows_every_metric(metric: MetricWrapperBase) -> None:
    asked = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    assert set(re.findall(r"\w+", asked)) & set(shown(metric))


def test_every_panel_can_be_read() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["datasource"] == source
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])


def test_panels_do_not_overlap() -> None:
    everything = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for at in (panel["gridPos"] for panel in everything):
        columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in columns for y in lines}
        assert not cells & taken
        assert columns.stop <= 24
        taken |= cells
