"""Quotas are exact: under concurrency, from several processes, and for accounts that differ."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from uuid import UUID

import httpx2
import pytest

from gateway.model import Algorithm
from tests import doors
from tests.conformance.cases import CASES
from tests.doors import Door
from tests.service import House, make_tenant, serve
from tests.store import wrong_counters

ROUNDS = 50
AT_ONCE = 64
QUOTA = 3
SETTINGS = {
    "KEYFERRY_LIVEPEER_QUOTA": str(QUOTA),
    "KEYFERRY_LIVEPEER_ALGORITHM": "ES256",  # made at once, so that the race is for the slot
    "KEYFERRY_CLOUDFLARE_QUOTA": "0",
    "KEYFERRY_POOL_WAIT": "30",
}


@pytest.fixture(scope="module")
def urls(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two processes of a service in which nobody has much room."""
    logs = tmp_path_factory.mktemp("quota")
    with ExitStack() as stack:
        yield [stack.enter_context(serve(house, logs / name, SETTINGS))[0] for name in "ab"]


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with doors.many_at_once() as client:
        yield client
    assert await wrong_counters(house.dsn) == []


class Place:
    """One account and dialect, through both processes."""

    def __init__(self, house: House, urls: list[str], dialect: str = "livepeer") -> None:
        tenant = make_tenant(house, urls[0])
        self.doors = [Door(CASES[dialect], replace(tenant, url=url), tenant.token) for url in urls]
        self._tenant = tenant
        self._dialect = dialect

    def allow(self, quota: int | None, algorithm: Algorithm | None = None) -> None:
        """Let the account differ from the deployment."""
        accounts, account_id = self._tenant.house.accounts, UUID(self._tenant.account_id)
        self._tenant.house.run(accounts.set_allowance(account_id, self._dialect, quota, algorithm))

    async def create(
        self, client: httpx2.AsyncClient, count: int = 1, retry_key: str | None = None
    ) -> tuple[list[UUID], list[str]]:
        """Create keys at once through both processes; return their ids, and refusals' texts."""
        asked = [self.doors[number % 2] for number in range(count)]
        answers = await asyncio.gather(
            *(client.request(**door.ask("create_key", retry_key=retry_key)) for door in asked)
        )
        made = [answer for answer in answers if answer.status_code == 200]
        refused = [answer.content for answer in answers if answer.status_code in {400, 403}]
        assert len(made) + len(refused) == count
        case = self.doors[0].case
        texts = [text for content in refused for text in case.messages(content)]
        return [self.doors[0].id_in(answer) for answer in made], texts

    async def delete(self, client: httpx2.AsyncClient, key: UUID) -> None:
        """Delete a key."""
        (await client.request(**self.doors[0].ask("delete_key", key))).raise_for_status()


def refusal(quota: int) -> str:
    return f"user can only have up to {quota} signing keys, delete some first"


@pytest.fixture
def place(house: House, urls: list[str]) -> Place:
    return Place(house, urls)


async def test_last_slot_goes_to_one(place: Place, client: httpx2.AsyncClient) -> None:
    await place.create(client, QUOTA - 1)
    for _ in range(ROUNDS):
        made, refused = await place.create(client, AT_ONCE)
        assert len(made) == 1
        assert Counter(refused) == {refusal(QUOTA): AT_ONCE - 1}
        await place.delete(client, made[0])


async def test_last_slot_for_a_stocked_key(place: Place, client: httpx2.AsyncClient) -> None:
    place.allow(quota=None, algorithm=Algorithm.RS256)
    await place.create(client, QUOTA - 1)
    made, refused = await place.create(client, AT_ONCE)
    assert (len(made), len(refused)) == (1, AT_ONCE - 1)


async def test_repeats_through_both_processes(place: Place, client: httpx2.AsyncClient) -> None:
    await place.create(client, QUOTA - 1)
    made, refused = await place.create(client, AT_ONCE // 4, retry_key="once")
    assert (len(set(made)), refused) == (AT_ONCE // 4, [])
    listed = place.doors[0].ids_in(await client.request(**place.doors[0].listing()))
    assert len(listed) == QUOTA
    assert len(set(listed) & set(made)) == 1


async def test_what_counts(place: Place, client: httpx2.AsyncClient) -> None:
    """Disabled keys do, deleted ones do not."""
    made, _ = await place.create(client, QUOTA)
    for key in made:
        change = place.doors[0].ask("update_key", key, body={"disabled": True})
        assert (await client.request(**change)).status_code == 204
    assert await place.create(client) == ([], [refusal(QUOTA)])
    for key in made:
        await place.delete(client, key)
    made, refused = await place.create(client, QUOTA + 1)
    assert (len(made), refused) == (QUOTA, [refusal(QUOTA)])


async def test_account_may_differ(place: Place, client: httpx2.AsyncClient) -> None:
    place.allow(QUOTA + 2)
    made, refused = await place.create(client, QUOTA + 4)
    assert (len(made), refused) == (QUOTA + 2, [refusal(QUOTA + 2)] * 2)
    place.allow(1)
    for key in made:
        assert await place.create(client) == ([], [refusal(1)])
        await place.delete(client, key)
    assert (await place.create(client, 2))[1] == [refusal(1)]
    place.allow(0)
    assert (await place.create(client, 1))[1] == [refusal(0)]
    place.allow(None)
    assert len((await place.create(client, QUOTA))[0]) == QUOTA - 1


async def test_account_may_differ_from_none(
    house: House, urls: list[str], client: httpx2.AsyncClient
) -> None:
    """A door that is closed to all accounts but one."""
    place = Place(house, urls, "cloudflare")
    assert (await place.create(client))[0] == []
    place.allow(2)
    made, refused = await place.create(client, 3)
    assert (len(made), len(refused)) == (2, 1)
    assert len((await Place(house, urls, "cloudflare").create(client))[1]) == 1
