"""Whether a token is for what is being played: by name, or by the id's place in the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.place import AMBIGUOUS, read_place
from gateway.verdicts import ANY_SUBJECT, Reason, Refused

if TYPE_CHECKING:
    from gateway.verdicts import Facts


def check_subject(subject: str, token: str, facts: Facts) -> None:
    """Raise Refused unless the token's `sub` is what is played.

    When the caller names the subject it must be equal. Otherwise the id in the path must be
    equal to it, or the token must stand in the id's place: then what plays is its `sub`, and
    the path with that `sub` in it must not be the path of another video.
    """
    if facts.subject is not None:
        if facts.subject is not ANY_SUBJECT and facts.subject != subject:
            raise Refused(Reason.SUBJECT_MISMATCH)
        return
    place = facts.place
    if place is None:
        raise Refused(Reason.NOTHING_PLAYED)
    if place is AMBIGUOUS:
        raise Refused(Reason.PATH_AMBIGUOUS)
    if place.id != subject and place.id != token:  # noqa: PLR1714  a token is long to hash
        raise Refused(Reason.SUBJECT_MISMATCH)
    if place.segment != subject + place.suffix or subject.startswith("ey"):
        served = read_place(place.named(subject), place.prefixes)
        if (served.id, served.prefix, served.token) != (subject, place.prefix, None):
            raise Refused(Reason.PATH_AMBIGUOUS)
