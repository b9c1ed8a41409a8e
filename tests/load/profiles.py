"""How much load, for how long, on how many accounts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Rates:
    """Iterations per second of each scenario in `script/main.js`, each started on time."""

    cloudflareLife: float  # noqa: N815  as the script calls it
    livepeerLife: float  # noqa: N815
    viewer: float
    reader: float


@dataclass(frozen=True)
class Phase:
    """A while at one rate."""

    seconds: int
    rates: Rates


@dataclass(frozen=True)
class Profile:
    """A whole run.

    `good`: the share of answers that must be right. `patience` stretches the limits of the times
    they may take. `dropped`: iterations that need not have started in time.
    """

    name: str
    phases: tuple[Phase, ...]
    accounts: int
    period: int  # seconds between two points of the report
    good: float = 0.999
    patience: float = 1.0
    dropped: int = 0

    @property
    def seconds(self) -> int:
        """How long it takes."""
        return sum(phase.seconds for phase in self.phases)

    def plan(self, patience: float | None = None) -> str:
        """Return what the script needs to know of it, as JSON."""
        return json.dumps(
            {
                "phases": [asdict(phase) for phase in self.phases],
                "good": self.good,
                "patience": self.patience if patience is None else patience,
                "dropped": self.dropped,
            }
        )


# A core makes 17 to 20 RSA keys per second and k6 wants a core, too: creates stay well below that,
# but for bursts, which the key pool absorbs.
_CALM = Rates(cloudflareLife=2, livepeerLife=2, viewer=20, reader=10)
_BURST = Rates(cloudflareLife=10, livepeerLife=10, viewer=60, reader=30)

PROFILES = {
    profile.name: profile
    for profile in (
        # Part of the tests, on machines that have other things to do: it is to find what is wrong,
        # not what is slow.
        Profile(
            "smoke",
            (Phase(14, Rates(cloudflareLife=1, livepeerLife=1, viewer=5, reader=3)),),
            accounts=5,
            period=1,
            patience=10.0,
            dropped=20,
        ),
        Profile("steady", (Phase(300, _CALM),), accounts=50, period=5, dropped=10),
        Profile(
            "burst",
            (
                Phase(30, _CALM),
                Phase(10, _BURST),
                Phase(50, _CALM),
                Phase(10, _BURST),
                Phase(20, _CALM),
            ),
            accounts=50,
            period=1,
            patience=2.0,
            dropped=10,
        ),
        Profile("soak", (Phase(1800, _CALM),), accounts=50, period=10, dropped=60),
    )
}
