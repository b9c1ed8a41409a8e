"""Writes the vectors: python -m tests.vectors.make [--check]

Each file holds tokens with the play each is for and the reason its verdict must have. They are
the same on every run, so a change here shows as a change of the files. `--check` only compares.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.vectors import forgeries, plays, samples, signatures, texts, times
from tests.vectors.forge import CLOCK, HERE

if TYPE_CHECKING:
    from types import ModuleType

    from tests.vectors.forge import Vector

FAMILIES: dict[str, ModuleType] = {
    "samples": samples,
    "texts": texts,
    "forgeries": forgeries,
    "signatures": signatures,
    "times": times,
    "plays": plays,
}


def render(name: str) -> str:
    module = FAMILIES[name]
    vectors: list[Vector] = module.vectors()
    about = (module.__doc__ or "").strip()
    body = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors)
    head = f'"about": {json.dumps(about)}, "keys": "test_only_keys.json", "clock": {CLOCK}'
    return f'{{{head}, "vectors": [\n{body}\n]}}\n'


def main(arguments: list[str]) -> int:
    stale = 0
    for name in FAMILIES:
        path = HERE / f"{name}.json"
        text = render(name)
        if "--check" in arguments:
            stale += not path.exists() or path.read_text() != text
        else:
            path.write_text(text)
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
