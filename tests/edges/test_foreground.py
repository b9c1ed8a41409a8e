"""Edges under a service manager: in the foreground, and their output a socket as systemd's is."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.edges.conftest import make_pair
from tests.edges.harness import EVERY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.edges.conftest import Stage


@pytest.mark.parametrize("edge", EVERY)
def test_it_plays_and_logs_with_a_socket_for_output(
    edge: str, stage: Stage, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        with make_pair(edge, tmp_path, stage, output=theirs) as pair:
            answer = pair.edge.ask(f"/{stage.mine.id}/seg0.ts?token=a.b.c")
            assert answer.content == stage.mine.segment
        theirs.close()
        said = b"".join(iter(lambda: ours.recv(65536), b"")) + pair.edge.log.read_bytes()
    assert b"200" in said
