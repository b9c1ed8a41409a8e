"""A search for secrets in files, whatever form they were written down in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

_WORD = 8  # bytes
_BEFORE, _AFTER = 4, 12  # of the beginning of a word: the part of a secret that must be there


class Search:
    """Finds parts of secrets that are 16 bytes long or longer, each by the secret's label.

    Whatever is that long in a file holds a whole 8-byte word at a position that 8 divides. Those
    words of a file are compared with all words of all forms of all secrets, and what two have in
    common is looked at closely.
    """

    def __init__(self) -> None:
        self._parts: dict[int, tuple[str, bytes]] = {}

    def add(self, label: str, forms: Iterable[bytes]) -> None:
        """Look for a secret in these forms too."""
        for form in forms:
            for at in range(len(form) - _WORD + 1):
                part = form[max(0, at - _BEFORE) : at + _AFTER]
                self._parts[_word(form[at : at + _WORD])] = (label, part)

    def inside(self, data: bytes) -> set[str]:
        """Return the labels of all secrets of which a part is in `data`."""
        whole = memoryview(data)[: len(data) // _WORD * _WORD]
        found: set[str] = set()
        for word in self._parts.keys() & set(whole.cast("Q")):
            label, part = self._parts[word]
            if label not in found and part in data:
                found.add(label)
        return found

    def below(self, folder: Path) -> set[str]:
        """Return the same for all files in `folder` and below."""
        files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {label for path in files for label in self.inside(path.read_bytes())}


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield the ways in which software writes bytes down, and base64 in base64."""
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for text in base64_forms(secret):
        yield text
        yield text.translate(bytes.maketrans(b"+/", b"-_"))
    yield from twice(base64.urlsafe_b64encode(secret))


def twice(text: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of a text that is base64 already."""
    yield from base64_forms(text)


def base64_forms(secret: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of bytes within others, which may begin at three places."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        yield text[4 if shift else 0 : -4]  # without what the neighbours have a share in


def _word(data: bytes) -> int:
    return memoryview(data).cast("Q")[0]
