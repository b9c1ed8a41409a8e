"""How a staging service is made to behave like its model: described in a file, off without one.

The file is TOML, with one table per dialect; docs/load.md shows one. Nothing in it is optional by
accident: what is not known is a fault, and every fault is named, not only the first.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from gateway.errors import Code
from gateway.tables import Table

_LONGEST = 60_000.0  # milliseconds that an answer may be held back
_Z99 = 2.326348  # standard deviations from the median to the 99th percentile
_ERRORS = {"429": Code.RATE_LIMITED, "500": Code.INTERNAL, "503": Code.UNAVAILABLE}


class SimulationError(ValueError):
    """The file cannot be used; `faults` says everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same delay each time."""

    ms: float
    kind: str = "fixed"

    def draw(self, _random: Random) -> float:
        """Return a delay in milliseconds."""
        return self.ms


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any delay between two, with equal chances."""

    min: float
    max: float
    kind: str = "uniform"

    def draw(self, random: Random) -> float:
        """Return a delay in milliseconds."""
        return random.uniform(self.min, self.max)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Mostly short delays with a long tail, given by two percentiles."""

    p50: float
    p99: float
    kind: str = "lognormal"

    def draw(self, random: Random) -> float:
        """Return a delay in milliseconds, a minute at most."""
        spread = math.log(self.p99 / self.p50) / _Z99
        return min(random.lognormvariate(math.log(self.p50), spread), _LONGEST)


Latency = Fixed | Uniform | LogNormal


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests of one client per so many seconds.

    `window`: all at once if need be, then none until the window ends. `bucket`: as many, given
    back one by one.
    """

    requests: int
    seconds: int
    style: str = "window"
    headers: bool = True  # Ratelimit and Ratelimit-Policy with every answer


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is added to the answers of one dialect."""

    latency: Latency | None = None
    errors: Mapping[Code, float] = field(default_factory=dict)  # shares of all requests
    rate_limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """A whole file. `revocation_lag`: seconds for which a deleted key still verifies."""

    dialects: Mapping[str, Behaviour]
    revocation_lag: float = 0.0

    def shown(self) -> dict[str, object]:
        """Return what is simulated, as logs and /readyz tell it."""
        lag = {"revocation_lag": self.revocation_lag} if self.revocation_lag else {}
        return {**lag, **{name: _shown(one) for name, one in self.dialects.items()}}


NOTHING = Simulation({})


def read_simulation(path: Path, dialects: Iterable[str]) -> Simulation:
    """Read a file that may speak of `dialects`; raises SimulationError naming every fault."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SimulationError([f"{path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SimulationError([f"{path}: {error}"]) from error
    top = Table("", content, [])
    lag = top.number("revocation_lag", 0.0, 3600.0, default=0.0)
    behaviours = {name: _behaviour(table) for name in dialects if (table := top.table(name))}
    top.finish()
    if not top.faults and not behaviours and not lag:
        top.faults.append("nothing is simulated")
    if top.faults:
        raise SimulationError([f"{path}: {fault}" for fault in top.faults])
    return Simulation(behaviours, lag)


def _shown(behaviour: Behaviour) -> dict[str, object]:
    return {name: value for name, value in asdict(behaviour).items() if value}


def _behaviour(table: Table) -> Behaviour:
    latency, errors, limit = (table.table(name) for name in ("latency", "errors", "rate_limit"))
    table.finish()
    return Behaviour(
        None if latency is None else _latency(latency),
        {} if errors is None else _errors(errors),
        None if limit is None else _rate_limit(limit),
    )


def _latency(table: Table) -> Latency:
    kind = table.choice("kind", ("fixed", "uniform", "lognormal"))
    latency: Latency = Fixed(0.0)
    match kind:
        case "fixed":
            latency = Fixed(table.number("ms", 0.0, _LONGEST))
        case "uniform":
            low, high = table.ordered("min", "max", 0.0, _LONGEST)
            latency = Uniform(low, high)
        case "lognormal":
            low, high = table.ordered("p50", "p99", 0.1, _LONGEST)
            latency = LogNormal(low, high)
    if kind:  # else nobody knows what its other members should be
        table.finish()
    return latency


def _errors(table: Table) -> dict[Code, float]:
    shares = {code: table.number(name, 0.0, 1.0, default=0.0) for name, code in _ERRORS.items()}
    if sum(shares.values()) > 1:
        table.fault("", "has shares that add up to more than 1")
    table.finish()
    return {code: share for code, share in shares.items() if share}


def _rate_limit(table: Table) -> RateLimit:
    limit = RateLimit(
        table.count("requests", 1_000_000_000),
        table.count("seconds", 86_400),
        table.choice("style", ("window", "bucket"), default="window"),
        table.flag("headers", default=True),
    )
    table.finish()
    return limit
