"""Key pairs, signatures and sealed values: the only importer of `cryptography`.

Safe on both sides of a fork: ids and nonces come from the kernel (os.urandom), OpenSSL seeds
its own generator anew in a child, and no hash or key here keeps state between two calls.
"""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, Self, SupportsIndex, TypeAlias
from uuid import uuid4

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from gateway.model import Algorithm

_AnyPrivate: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_AnyPublic: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_Members: TypeAlias = tuple[tuple[str, str], ...]

_SHA256 = hashes.SHA256()
_PKCS1V15 = padding.PKCS1v15()
_ECDSA = ec.ECDSA(_SHA256)
_COORDINATE = 32  # octets of a P-256 coordinate, and of r and of s
_NONCE = 12  # octets: the 96 bits that GCM wants (NIST SP 800-38D section 8.2)
_LONGEST_PEM = 8192  # an RSA-4096 key takes 3300


class KeyPair:
    """A fresh key pair. Shown once, then forgotten.

    Its encodings are rendered when they are first asked for, since each door wants others: some
    0.008 ms each. It never prints what is private, refuses to be pickled, and a copy of it is
    itself.
    """

    def __init__(self, algorithm: Algorithm, private: _AnyPrivate) -> None:
        self.id = uuid4()  # version 4, random
        self.algorithm = algorithm
        # SubjectPublicKeyInfo, DER (RFC 5280 section 4.1)
        self.spki = private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        self.fingerprint = digest(self.spki)  # SHA-256
        self._private = private

    @cached_property
    def pkcs8_pem(self) -> bytes:
        """The private key by RFC 5958."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @cached_property
    def traditional_pem(self) -> bytes:
        """The same as PKCS#1 (RFC 8017 A.1.2) of an RSA key, SEC 1 (RFC 5915) of an EC one."""
        return self._private.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )

    @cached_property
    def jwk(self) -> _Members:
        """Its numbers in this order: n e d p q dp dq qi, or crv x y d (RFC 7518 section 6)."""
        return _public_members(self._private.public_key()) + _private_members(self._private)

    def render(self) -> Self:
        """Render everything now, and let go of what it is rendered from. For a stock."""
        _ = self.pkcs8_pem, self.traditional_pem, self.jwk
        del self._private
        return self

    def __repr__(self) -> str:
        return f"KeyPair(id={self.id}, algorithm={self.algorithm.value})"

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a KeyPair is never pickled: its private half exists once")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self


def generate(algorithm: Algorithm) -> KeyPair:
    """Make a key pair: RSA-2048 with e 65537 (about 50 ms), or P-256 (about 0.02 ms)."""
    return KeyPair(algorithm, _arithmetic(algorithm))


def prepare(algorithm: Algorithm) -> Callable[[], KeyPair]:
    """Do the arithmetic of `generate` now; what is returned renders the pair (about 0.04 ms).

    The arithmetic runs without the interpreter lock, the rendering needs it: a thread of low
    priority does the first and leaves the second to the thread that the result is for.
    """
    private = _arithmetic(algorithm)
    return lambda: KeyPair(algorithm, private).render()


def _arithmetic(algorithm: Algorithm) -> _AnyPrivate:
    if algorithm is Algorithm.RS256:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def _private_members(private: _AnyPrivate) -> _Members:
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return (("d", _base64url(private.private_numbers().private_value, _COORDINATE)),)
    k = private.private_numbers()
    numbers = {"d": k.d, "p": k.p, "q": k.q, "dp": k.dmp1, "dq": k.dmq1, "qi": k.iqmp}
    return tuple((name, _base64url(number)) for name, number in numbers.items())


def _public_members(public: _AnyPublic) -> _Members:
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        x, y = _base64url(point.x, _COORDINATE), _base64url(point.y, _COORDINATE)
        return (("crv", "P-256"), ("x", x), ("y", y))
    numbers = public.public_numbers()
    return (("n", _base64url(numbers.n)), ("e", _base64url(numbers.e)))


def _base64url(number: int, octets: int | None = None) -> str:
    """Big-endian and unpadded: of a fixed length, or in the fewest octets (RFC 7518 section 2)."""
    raw = number.to_bytes(octets or (number.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def spki_pem(spki: bytes) -> bytes:
    """Wrap a SubjectPublicKeyInfo as PEM (RFC 7468): LF, 64 columns, final newline. No parsing."""
    lines = [b2a_base64(spki[start : start + 48]) for start in range(0, len(spki), 48)]
    return b"-----BEGIN PUBLIC KEY-----\n" + b"".join(lines) + b"-----END PUBLIC KEY-----\n"


def public_jwk(spki: bytes, algorithm: Algorithm) -> dict[str, str]:
    """Return the public numbers for a JWKS: kty, n, e or kty, crv, x, y. Raises as load_public."""
    kty = "RSA" if algorithm is Algorithm.RS256 else "EC"
    return {"kty": kty, **dict(_public_members(_parse_public(spki, algorithm)))}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A parsed public key, ready to verify at the cost of the arithmetic."""

    _key: Any  # of the kind that `algorithm` takes; asking for its class again costs too much
    algorithm: Algorithm

    def verify(self, signature: bytes, signing_input: bytes) -> bool:
        """Tell whether the JOSE signature is right. Any octets may be asked about."""
        try:
            if self.algorithm is Algorithm.RS256:
                self._key.verify(signature, signing_input, _PKCS1V15, _SHA256)
            else:
                self._key.verify(_dss(signature), signing_input, _ECDSA)
        except InvalidSignature:
            return False
        return True


def load_public(spki: bytes, algorithm: Algorithm) -> PublicKey:
    """Parse a SubjectPublicKeyInfo. Raises ValueError unless it is a key for `algorithm`."""
    return PublicKey(_parse_public(spki, algorithm), algorithm)


def _parse_public(spki: bytes, algorithm: Algorithm) -> _AnyPublic:
    try:
        key = load_der_public_key(spki)
    except UnsupportedAlgorithm:
        raise ValueError("a public key of an unknown kind") from None
    if not isinstance(key, _AnyPublic) or _algorithm_of(key) is not algorithm:
        raise ValueError(f"not a public key for {algorithm.value}")
    return key


def _algorithm_of(key: _AnyPublic) -> Algorithm:
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096:
        return Algorithm.RS256
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return Algorithm.ES256
    raise ValueError("neither an RSA key of 2048 to 4096 bits nor a P-256 key")


def _dss(signature: bytes) -> bytes:
    """Turn r and s, 32 octets each, into the DER that OpenSSL takes (RFC 7518 section 3.4)."""
    if len(signature) != 2 * _COORDINATE:
        raise InvalidSignature
    r = int.from_bytes(signature[:_COORDINATE], "big")
    s = int.from_bytes(signature[_COORDINATE:], "big")
    return encode_dss_signature(r, s)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A parsed private key, to sign with many times. Parsing it takes about 0.04 ms."""

    algorithm: Algorithm
    spki: bytes  # of its public half, DER
    _key: _AnyPrivate

    def sign(self, signing_input: bytes) -> bytes:
        """Return the JOSE signature: RS256 (0.25 ms), or r and s of ES256 in 64 octets."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(signing_input, _PKCS1V15, _SHA256)
        r, s = decode_dss_signature(self._key.sign(signing_input, _ECDSA))
        return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")


def load_private(pem: bytes) -> PrivateKey:
    """Parse a PKCS#1, PKCS#8 or SEC 1 PEM without password, of RSA-2048 to 4096 or P-256.

    Raises ValueError for anything else, with a message free of the material. That the numbers
    of an RSA key belong together is checked, that its factors are prime is not (it takes 40 ms):
    before using a key that somebody sent, compare `spki` with one that was made here.
    """
    try:
        if len(pem) > _LONGEST_PEM:
            raise ValueError
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM (PKCS#1, PKCS#8, SEC 1), unencrypted") from None
    if not isinstance(key, _AnyPrivate) or not _coherent(key):
        raise ValueError("neither an EC private key nor an RSA one whose numbers fit together")
    public = key.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PrivateKey(_algorithm_of(public), spki, key)


def _coherent(private: _AnyPrivate) -> bool:
    """Tell whether the numbers fit each other, which also bounds the time that signing takes."""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return True  # checked by the parser: 0 < d < order, and the public half belongs to it
    k = private.private_numbers()
    n, e = k.public_numbers.n, k.public_numbers.e
    return (
        min(k.p, k.q, e) > 2
        and n % 2 == 1
        and k.p * k.q == n
        and k.d < n
        and e < 1 << 32
        and (k.dmp1, k.dmq1) == (k.d % (k.p - 1), k.d % (k.q - 1))
        and k.dmp1 * e % (k.p - 1) == k.dmq1 * e % (k.q - 1) == 1
        and 0 < k.iqmp < k.p
        and k.iqmp * k.q % k.p == 1
    )


def seal(master_key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Encrypt with AES-256-GCM: nonce, ciphertext, tag. `context` must be shown to unseal it.

    Nonces are random: one master key is good for 2**32 values (NIST SP 800-38D section 8.3).
    """
    nonce = os.urandom(_NONCE)
    return nonce + _cipher(master_key).encrypt(nonce, plaintext, context)


def unseal(master_key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Decrypt what `seal` made. Raises ValueError when key, value or context is another."""
    cipher = _cipher(master_key)
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
    except (InvalidTag, ValueError):
        raise ValueError("the sealed value does not open with this master key here") from None


def _cipher(master_key: bytes) -> AESGCM:
    if len(master_key) != 32:
        raise ValueError("a master key has 32 octets")
    return AESGCM(master_key)


def digest(secret: str | bytes) -> bytes:
    """Return the SHA-256 of a secret; of text, that of its UTF-8."""
    # A stray surrogate must not raise: UnicodeEncodeError carries the text it choked on.
    raw = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    return hashlib.sha256(raw).digest()
