"""What a verification answers: allowed or not, and why, as frozen values and one closed set.

Every refusal has a `Reason` that a program can branch on and a sentence that a person can
act on. Doors map reasons to statuses; nothing here knows a status.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from gateway.place import Place


class Reason(StrEnum):
    """Why a token was let in or refused, in the order in which the checks are made."""

    ALLOWED = "allowed"

    # The token as text
    TOKEN_MISSING = "token_missing"  # noqa: S105 - the name of a reason
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105 - the name of a reason
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105
    BASE64_MALFORMED = "base64_malformed"
    JSON_MALFORMED = "json_malformed"
    MEMBER_REPEATED = "member_repeated"
    HEADER_REFUSED = "header_refused"
    ALGORITHM_REFUSED = "algorithm_refused"

    # The key it names
    KEY_UNNAMED = "key_unnamed"
    KID_MALFORMED = "kid_malformed"
    PUB_MALFORMED = "pub_malformed"
    KEY_UNKNOWN = "key_unknown"
    KEY_DISABLED = "key_disabled"
    KEY_DELETED = "key_deleted"
    ALGORITHM_MISMATCH = "algorithm_mismatch"
    SIGNATURE_INVALID = "signature_invalid"

    # What the signer wrote
    SUB_MALFORMED = "sub_malformed"
    EXP_MISSING = "exp_missing"
    EXP_MALFORMED = "exp_malformed"
    NBF_MALFORMED = "nbf_malformed"
    IAT_MALFORMED = "iat_malformed"
    RULES_MALFORMED = "rules_malformed"
    ACTION_REFUSED = "action_refused"

    # Whether it holds now, for this play
    EXPIRED = "expired"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    NOTHING_PLAYED = "nothing_played"
    PATH_AMBIGUOUS = "path_ambiguous"
    SUBJECT_MISMATCH = "subject_mismatch"
    DOWNLOAD_REFUSED = "download_refused"
    ADDRESS_UNKNOWN = "address_unknown"
    COUNTRY_UNKNOWN = "country_unknown"
    BLOCKED_ADDRESS = "blocked_address"
    BLOCKED_COUNTRY = "blocked_country"
    BLOCKED = "blocked"


EXPLANATIONS: Final[Mapping[Reason, str]] = {
    Reason.ALLOWED: "The token is valid for what is played.",
    Reason.TOKEN_MISSING: "The request carries no token where one is looked for.",
    Reason.TOKEN_TOO_LARGE: "The token is longer than 8 KiB.",
    Reason.TOKEN_MALFORMED: "The token is not three non-empty parts joined by two dots.",
    Reason.BASE64_MALFORMED: (
        "A part of the token is not canonical base64url without padding (RFC 7515 section 2)."
    ),
    Reason.JSON_MALFORMED: (
        "The header or the payload is not one JSON object in UTF-8, or has over 256 brackets."
    ),
    Reason.MEMBER_REPEATED: "A JSON object in the token has two members of the same name.",
    Reason.HEADER_REFUSED: (
        "The header has a member that is never accepted: crit, b64, jwk, jku, x5c or x5u."
    ),
    Reason.ALGORITHM_REFUSED: "The header's alg is neither RS256 nor ES256.",
    Reason.KEY_UNNAMED: "The token names no key: neither kid in header or payload, nor pub.",
    Reason.KID_MALFORMED: (
        "The token's kid is not a key id: 32 hexadecimal digits, or the same with dashes."
    ),
    Reason.PUB_MALFORMED: "The token's pub is not the standard base64 of a public key in PEM.",
    Reason.KEY_UNKNOWN: "This account has no such key.",
    Reason.KEY_DISABLED: "The key that signed the token is disabled.",
    Reason.KEY_DELETED: "The key that signed the token was deleted.",
    Reason.ALGORITHM_MISMATCH: "The header's alg is not the algorithm of the key it names.",
    Reason.SIGNATURE_INVALID: "The signature was not made over this token by the key it names.",
    Reason.SUB_MALFORMED: "The token's sub is missing, empty, dots only or not a string.",
    Reason.EXP_MISSING: "The token has no exp, and a token without an end is never accepted.",
    Reason.EXP_MALFORMED: (
        "The token's exp is not a time in seconds since 1970; milliseconds are a common mistake."
    ),
    Reason.NBF_MALFORMED: "The token's nbf is not a time in seconds since 1970.",
    Reason.IAT_MALFORMED: "The token's iat is not a time in seconds since 1970.",
    Reason.RULES_MALFORMED: (
        "The token's accessRules are not a list of at most 5 rules, each with a known type, "
        "an action and what that type needs."
    ),
    Reason.ACTION_REFUSED: 'The token\'s action is not "pull": it was not made for playing.',
    Reason.EXPIRED: "The token's exp has passed.",
    Reason.LIFETIME_TOO_LONG: "The token's exp is further ahead than this deployment accepts.",
    Reason.NOT_YET_VALID: "The token's nbf has not come yet.",
    Reason.ISSUED_IN_FUTURE: "The token's iat is in the future: the signer's clock is ahead.",
    Reason.NOTHING_PLAYED: "The request does not say what is played.",
    Reason.PATH_AMBIGUOUS: (
        "The path can be read in two ways: it has dot segments, encoded slashes or the like, "
        "the token's sub would not fit in the id's place, or two headers tell different URLs."
    ),
    Reason.SUBJECT_MISMATCH: "The token is for something else than what is played.",
    Reason.DOWNLOAD_REFUSED: "The token does not allow downloads: downloadable is not true.",
    Reason.ADDRESS_UNKNOWN: "A rule asks for the client's address, and it is not known.",
    Reason.COUNTRY_UNKNOWN: "A rule asks for the client's country, and it is not known.",
    Reason.BLOCKED_ADDRESS: "An access rule on ip.src blocks this client.",
    Reason.BLOCKED_COUNTRY: "An access rule on ip.geoip.country blocks this client.",
    Reason.BLOCKED: "An access rule of type any blocks every client that came so far.",
}


class Verdict(NamedTuple):
    """The answer for one token. It is allowed for exactly one reason, so the two cannot differ.

    `key` is known once the token names a key of the account asked for. `subject` and `expires`
    (seconds since 1970) come from the payload and are present only once its signature held.
    """

    reason: Reason
    key: UUID | None = None
    subject: str | None = None
    expires: float | None = None

    @property
    def allowed(self) -> bool:
        """Whether to let the client in."""
        return self.reason is Reason.ALLOWED

    @property
    def message(self) -> str:
        """The reason in one sentence that a person can act on."""
        return EXPLANATIONS[self.reason]


class AnySubject(Enum):
    """The type of `ANY_SUBJECT`."""

    ANY_SUBJECT = "any"


ANY_SUBJECT: Final = AnySubject.ANY_SUBJECT
"""The caller compares `Verdict.subject` itself. Said explicitly, never by leaving a field out."""


class Facts(NamedTuple):
    """What is known of one play. What is left out is unknown, and unknown never lets in.

    `subject` is what is played, when the caller knows it; it decides alone.
    `place` is where the id stands in the path that the client sent, used without `subject`.
    `address` is the client's, as text; `country` its ISO 3166-1 alpha-2 code.
    """

    subject: str | AnySubject | None = None
    place: Place | None = None
    address: str | None = None
    country: str | None = None
    download: bool = False


class Refused(Exception):
    """How a check says no inside the core; the Verifier makes a Verdict of it.

    `key` is the key that the token names, once it is known to be the account's own.
    """

    def __init__(self, reason: Reason, key: UUID | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key
