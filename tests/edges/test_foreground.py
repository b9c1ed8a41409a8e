"""Edges under a service manager: in the foreground, and their output a socket as systemd's is."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.edges.conftest import make_pair
from tests.edges.harness import EVERY
from tests.fleet import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.edges.conftest import Stage


@pytest.mark.parametrize("edge", EVERY)
def test_it_plays_and_logs_with_a_socket_for_output(
    edge: str, stage: Stage, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.05)
        with make_pair(edge, tmp_path, stage, output=theirs) as pair:
            answer = pair.edge.ask(f"/{stage.mine.id}/seg0.ts?token=a.b.c")
            assert answer.content == stage.mine.segment
            said = bytearray()

            def has_logged() -> bool:
                with suppress(TimeoutError):
                    said.extend(ours.recv(65536))
                return b"200" in said + pair.edge.log.read_bytes()

            until(has_logged)  # the line is written after the answer
