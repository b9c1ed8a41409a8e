"""What a tenant says on the wire to a server that has its key in memory."""

from __future__ import annotations

from tests import doors
from tests.player import Player, sign
from tests.rawhttp import Answer, Wire, request
from tests.vectors.forge import VIDEO


class Talk:
    """A tenant's requests, each with an id of its own."""

    def __init__(self, player: Player, *, warm: bool = True) -> None:
        self.player = player
        self.token = sign(player.make_livepeer_key())
        self.door = doors.livepeer(player.tenant)
        if warm:  # the server has looked at the key
            assert player.play(self.token) == "allowed"

    def verify(self, name: str, method: str = "GET", *, good: bool = True) -> bytes:
        """Ask what memory can answer."""
        url = f"/{VIDEO if good else 'other'}/index.m3u8?token={self.token}"
        headers = [f"X-Original-URI: {url}", f"X-Request-ID: {name}"]
        return request(method, f"/accounts/{self.player.tenant.account_id}/verify", headers)

    def ask(self, name: str, operation: str, method: str = "") -> bytes:
        """Ask what takes the database."""
        ask = self.door.case.ask(operation)
        headers = [f"Authorization: Bearer {self.door.token}", f"X-Request-ID: {name}"]
        headers += ["Content-Length: 0"] if ask.method == "POST" else []
        path = self.door.case.prefix + self.door.case.fill(ask.path)
        return request(method or ask.method, path, headers)

    def jwks(self, name: str, method: str = "GET") -> bytes:
        """Ask for the public keys."""
        path = f"/accounts/{self.player.tenant.account_id}/jwks.json"
        return request(method, path, [f"X-Request-ID: {name}"])

    def open(self) -> Wire:
        """Open a connection."""
        return Wire(self.player.tenant.url)


def names(answers: list[Answer]) -> list[str | None]:
    """Return the ids of the requests that these are answers to."""
    return [answer.header("x-request-id") for answer in answers]
