"""`python -m tests.load.run`: put load on Keyferry and say how it took it.

Without KEYFERRY_LOAD_URL it starts a PostgreSQL and a server of its own. With it the load goes
there, on the account KEYFERRY_LOAD_ACCOUNT with the API token KEYFERRY_LOAD_TOKEN, or on those in
KEYFERRY_LOAD_ACCOUNTS, a JSON file with a list of `{"account": ID, "token": TOKEN}`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.load import k6
from tests.load.profiles import PROFILES, Profile
from tests.load.watch import Watch, describe
from tests.service import House, make_tenant, open_folder, serve

REPORTS = Path(__file__).parents[2] / ".load"
_OURS = "KEYFERRY_LOAD_"


@dataclass(frozen=True)
class Target:
    """Where the load goes. `server` is the house and the process, when they are ours."""

    url: str
    accounts: list[dict[str, str]]
    server: tuple[House, int] | None = None


@dataclass(frozen=True)
class Result:
    """What is left of a run."""

    status: int  # k6's: 0 is good, 99 is a threshold that does not hold
    report: Path
    figures: Path


@contextmanager
def own_server(profile: Profile, folder: Path) -> Iterator[Target]:
    """Start everything that a run needs."""
    log = folder / "server.log"
    log.unlink(missing_ok=True)
    with (
        open_folder() as data,
        House(data / "data") as house,
        serve(house, log, {"KEYFERRY_POOL_SIZE": "256"}) as (url, process),
    ):
        tenants = [make_tenant(house, url, f"load-{n}") for n in range(profile.accounts)]
        accounts = [{"account": one.account_id, "token": one.token} for one in tenants]
        yield Target(url, accounts, (house, process.pid))


def given_server(environment: Mapping[str, str]) -> Target:
    """Return the server that the environment names. Raises ValueError when it does not."""
    url, file = environment[f"{_OURS}URL"].rstrip("/"), environment.get(f"{_OURS}ACCOUNTS")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{_OURS}URL should begin with http:// or https://")
    if file:
        return Target(url, _accounts(Path(file)))
    account, token = (environment.get(f"{_OURS}{name}", "") for name in ("ACCOUNT", "TOKEN"))
    if not account or not token:
        raise ValueError(f"set {_OURS}ACCOUNT and {_OURS}TOKEN, or {_OURS}ACCOUNTS")
    return Target(url, [{"account": account.replace("-", ""), "token": token}])


def _accounts(file: Path) -> list[dict[str, str]]:
    listed: Any = json.loads(file.read_text())
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{file} should hold a list of accounts")
    return [{"account": one["account"].replace("-", ""), "token": one["token"]} for one in listed]


def run(profile: Profile, target: Target, folder: Path, patience: float | None = None) -> Result:
    """Put the load on, print what came of it, and leave a report and its figures in `folder`."""
    stem = f"{profile.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    result = Result(0, folder / f"{stem}.html", folder / f"{stem}.json")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as accounts:  # for its owner's eyes only
        json.dump(target.accounts, accounts)
        accounts.flush()
        environment = {
            "KEYFERRY_LOAD_URL": target.url,
            "KEYFERRY_LOAD_ACCOUNTS": accounts.name,
            "KEYFERRY_LOAD_PLAN": profile.plan(patience),
            "KEYFERRY_LOAD_JSON": str(result.figures),
        }
        watch = _watch(profile, target)
        with watch or nullcontext():
            process = k6.start(environment, result.report, profile.period)
            status = k6.wait(process, profile.seconds)
    if watch is not None:
        _tell("The server, from a tenth of the run to its end:", *describe(watch.samples), "")
        samples = [asdict(sample) for sample in watch.samples]
        result.figures.with_suffix(".server.json").write_text(json.dumps(samples))
    _tell(f"Report: {result.report}")
    return Result(status, result.report, result.figures)


def _watch(profile: Profile, target: Target) -> Watch | None:
    if target.server is None:
        return None
    return Watch(*target.server, interval=max(0.5, profile.seconds / 300))


def _tell(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201


def main() -> int:
    """Run a profile; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.run", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="steady")
    parser.add_argument(
        "--patience", type=float, help="stretch the limits of the times that answers may take"
    )
    chosen = parser.parse_args()
    profile = PROFILES[chosen.profile]
    REPORTS.mkdir(exist_ok=True)
    _tell(f"{profile.name}: {profile.seconds} seconds ...")
    if os.getloadavg()[0] > len(os.sched_getaffinity(0)) / 2:
        _tell("This machine is busy already: the times below are not Keyferry's alone.")
    if not os.environ.get(f"{_OURS}URL"):
        with own_server(profile, REPORTS) as target:
            return run(profile, target, REPORTS, chosen.patience).status
    try:
        target = given_server(os.environ)
    except (ValueError, KeyError, TypeError, OSError) as error:
        parser.error(str(error))
    return run(profile, target, REPORTS, chosen.patience).status


if __name__ == "__main__":
    sys.exit(main())
