"""A client that is gone before its connection is looked at has no address, and no trust."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.web.client import Proxies
from gateway.web.protocol import CappedProtocol

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


async def nothing(_scope: object, _receive: object, _send: object) -> None:
    """Be an application that is never asked."""


def accepted(family: socket.AddressFamily, address: Any) -> socket.socket:
    """Return a connection whose client is gone."""
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(address)
        listener.listen()
        client.connect(listener.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection, _ = listener.accept()
    return connection


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
async def test_only_a_peer_on_a_unix_socket_is_trusted(
    family: socket.AddressFamily, tmp_path: Any
) -> None:
    unix = family == socket.AF_UNIX
    local = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    address = str(tmp_path / "socket") if unix else (local[family], 0)
    connection = accepted(family, address)
    config: Any = uvicorn.Config(nothing, http=CappedProtocol, log_config=None)
    config.load()
    protocol = CappedProtocol(config, ServerState(), {})
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
    peer = protocol.client[0] if protocol.client else None
    assert Proxies([]).trusts(peer) is unix
    transport.close()
    await asyncio.sleep(0.05)
