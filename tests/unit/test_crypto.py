"""Every encoding and signature, held against libraries that share no code with ours."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import pickle
import traceback
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from gateway import crypto
from gateway.crypto import KeyPair
from gateway.model import Algorithm

RS256, ES256 = Algorithm.RS256, Algorithm.ES256
BOTH = pytest.mark.parametrize("algorithm", [RS256, ES256])
MESSAGE = b"eyJhbGciOiJSUzI1NiJ9.e30"
MASTER_KEY = bytes(range(32))
PLAIN = serialization.NoEncryption()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256

Pairs = dict[Algorithm, KeyPair]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return {algorithm: crypto.generate(algorithm) for algorithm in Algorithm}


def number(text: str) -> int:
    return int.from_bytes(octets(text), "big")


def octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def body(pem: bytes, label: str) -> bytes:
    """Check the shape that RFC 7468 wants and return the DER."""
    first, *lines, last, nothing = pem.decode().split("\n")
    assert (first, last, nothing) == (f"-----BEGIN {label}-----", f"-----END {label}-----", "")
    assert all(len(line) == 64 for line in lines[:-1])
    assert 0 < len(lines[-1]) <= 64
    return b64decode("".join(lines), validate=True)


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    pkcs8 = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, PLAIN)


def jwk(pair: KeyPair) -> dict[str, str | list[str]]:
    return {"kty": "RSA" if pair.algorithm is RS256 else "EC", **dict(pair.jwk)}


def imported(pair: KeyPair) -> RSAKey | ECKey:
    kind = RSAKey if pair.algorithm is RS256 else ECKey
    return kind.import_key(jwk(pair))


@BOTH
def test_pem_shapes(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    assert body(pair.pkcs8_pem, "PRIVATE KEY")
    label = "RSA PRIVATE KEY" if algorithm is RS256 else "EC PRIVATE KEY"
    assert body(pair.traditional_pem, label)
    assert body(crypto.spki_pem(pair.spki), "PUBLIC KEY") == pair.spki


@given(st.binary(min_size=1, max_size=600))
@example(bytes(48))
@example(bytes(96))
def test_spki_pem_wraps_at_64_columns_whatever_the_length(spki: bytes) -> None:
    assert body(crypto.spki_pem(spki), "PUBLIC KEY") == spki


def test_rsa_members_and_their_relations(pairs: Pairs) -> None:
    members = dict(pairs[RS256].jwk)
    assert list(members) == ["n", "e", "d", "p", "q", "dp", "dq", "qi"]
    n, e, d, p, q, dp, dq, qi = map(number, members.values())
    assert (n.bit_length(), e, p * q) == (2048, 65537, n)
    assert d * e % (p - 1) == d * e % (q - 1) == 1
    assert (dp, dq, qi * q % p) == (d % (p - 1), d % (q - 1), 1)


def test_rsa_members_take_the_fewest_octets(pairs: Pairs) -> None:
    for text in dict(pairs[RS256].jwk).values():
        assert "=" not in text
        assert octets(text)[0] != 0


def test_ec_members() -> None:
    for _ in range(2000):  # one coordinate in 256 begins with a zero octet
        members = dict(crypto.generate(ES256).jwk)
        assert list(members) == ["crv", "x", "y", "d"]
        assert members.pop("crv") == "P-256"
        assert {len(octets(text)) for text in members.values()} == {32}


@BOTH
def test_identity(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    assert (pair.algorithm, pair.id.version) == (algorithm, 4)
    assert pair.fingerprint == hashlib.sha256(pair.spki).digest()


@BOTH
def test_every_encoding_is_the_same_key(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    kind = RSAKey if algorithm is RS256 else ECKey
    for pem in (pair.pkcs8_pem, pair.traditional_pem):
        assert kind.import_key(pem).as_dict(private=True).items() >= jwk(pair).items()
        assert serialization.load_pem_private_key(pem, None)  # checks the primes as well
    public = kind.import_key(crypto.spki_pem(pair.spki))
    shown = crypto.public_jwk(pair.spki, algorithm)
    assert public.as_dict(private=False).items() >= shown.items()
    assert shown.items() <= jwk(pair).items()
    assert list(shown) == (["kty", "n", "e"] if algorithm is RS256 else ["kty", "crv", "x", "y"])


@BOTH
def test_our_signature_convinces_joserfc_and_pyjwt(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    token = jws.serialize_compact({"alg": algorithm.value}, b'{"sub":"x"}', imported(pair))
    signing_input = token.rpartition(".")[0]
    for pem in (pair.pkcs8_pem, pair.traditional_pem):
        signature = crypto.load_private(pem).sign(signing_input.encode())
        ours = f"{signing_input}.{jwt.utils.base64url_encode(signature).decode()}"
        assert jws.deserialize_compact(ours, imported(pair)).payload == b'{"sub":"x"}'
        public = crypto.spki_pem(pair.spki)
        assert jwt.decode(ours, public, algorithms=[algorithm.value]) == {"sub": "x"}


@BOTH
def test_their_signatures_convince_us(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    verify = crypto.load_public(pair.spki, algorithm).verify
    tokens = [
        jws.serialize_compact({"alg": algorithm.value}, b"{}", imported(pair)),
        jwt.encode({"sub": "x"}, pair.pkcs8_pem, algorithm.value),
        jwt.encode({"sub": "x"}, pair.traditional_pem, algorithm.value),
    ]
    for token in tokens:
        signing_input, _, signature = token.rpartition(".")
        assert verify(octets(signature), signing_input.encode())
        assert not verify(octets(signature), signing_input.encode() + b" ")


@BOTH
def test_wrong_signatures_are_false(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    good = crypto.load_private(pair.pkcs8_pem).sign(MESSAGE)
    verify = crypto.load_public(pair.spki, algorithm).verify
    stranger = crypto.load_public(crypto.generate(algorithm).spki, algorithm)
    assert verify(good, MESSAGE)
    assert not stranger.verify(good, MESSAGE)
    wrong = [b"", b"\0", good[:-1], good[1:], good + b"\0", b"\0" + good, good * 2, good[::-1]]
    half = len(good) // 2
    wrong += [bytes(len(good)), b"\xff" * len(good), bytes(100_000)]
    wrong += [good[:half] + b"\0" + good[half:]]  # the same r and s
    wrong += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    assert not any(verify(signature, MESSAGE) for signature in wrong)


@BOTH
@given(signature=st.binary(max_size=300))
def test_random_octets_never_raise(pairs: Pairs, algorithm: Algorithm, signature: bytes) -> None:
    assert not crypto.load_public(pairs[algorithm].spki, algorithm).verify(signature, MESSAGE)


@pytest.mark.parametrize("r", [0, ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER, 2**256 - 1])
def test_es256_numbers_out_of_range_are_false(pairs: Pairs, r: int, s: int) -> None:
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert not crypto.load_public(pairs[ES256].spki, ES256).verify(signature, MESSAGE)


def test_an_es256_signature_in_der_is_false(pairs: Pairs) -> None:
    key = serialization.load_pem_private_key(pairs[ES256].pkcs8_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = key.sign(MESSAGE, ec.ECDSA(crypto._SHA256))
    assert not crypto.load_public(pairs[ES256].spki, ES256).verify(der, MESSAGE)


def test_es256_signatures_keep_their_length(pairs: Pairs) -> None:
    key = crypto.load_private(pairs[ES256].pkcs8_pem)
    assert {len(key.sign(MESSAGE)) for _ in range(600)} == {64}  # r or s is short once in 128


def spki_of(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.DER, info)


@pytest.mark.parametrize("load", [crypto.load_public, crypto.public_jwk])
def test_public_keys_of_another_kind_are_refused(
    pairs: Pairs, load: Callable[[bytes, Algorithm], object]
) -> None:
    p521 = spki_of(ec.generate_private_key(ec.SECP521R1()).public_key())
    small = spki_of(rsa.generate_private_key(65537, 1024).public_key())  # noqa: S505  the point
    for spki in (b"", b"\x30", pairs[RS256].spki[:-1], p521, pairs[RS256].spki):
        with pytest.raises(ValueError, match=r"."):
            load(spki, ES256)
    for spki in (b"", small, pairs[ES256].spki):
        with pytest.raises(ValueError, match=r"."):
            load(spki, RS256)


def other_pems() -> list[bytes]:
    key = rsa.generate_private_key(65537, 2048)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat
    locked = serialization.BestAvailableEncryption(b"x")
    return [
        b"",
        b"garbage \0\xff",
        b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        crypto.spki_pem(spki_of(key.public_key())),
        key.private_bytes(pem, form.PKCS8, locked),
        key.private_bytes(pem, form.TraditionalOpenSSL, locked),
        key.private_bytes(pem, form.OpenSSH, PLAIN),
        private_pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505  the point
        private_pem(ec.generate_private_key(ec.SECP521R1())),
        ed25519.Ed25519PrivateKey.generate().private_bytes(pem, form.PKCS8, PLAIN),
        private_pem(key) + b"\n" * 8192,
    ]


def test_private_keys_of_another_kind_are_refused_without_showing_them() -> None:
    for pem in other_pems():
        with pytest.raises(ValueError, match=r"key") as refusal:
            crypto.load_private(pem)
        told = "".join(traceback.format_exception(refusal.value))
        assert not any(line in told for line in pem.decode("latin-1").split("\n") if len(line) > 40)


def der(tag: bytes, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return tag + bytes([length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return tag + bytes([128 + len(size)]) + size + content


def pkcs1(numbers: list[int]) -> bytes:
    """Write any eight numbers as RSAPrivateKey (RFC 8017 A.1.2)."""
    raw = [value.to_bytes(value.bit_length() // 8 + 1, "big") for value in [0, *numbers]]
    key = der(b"\x30", b"".join(der(b"\x02", integer) for integer in raw))
    return crypto.spki_pem(key).replace(b"PUBLIC KEY", b"RSA PRIVATE KEY")


def test_an_rsa_key_whose_numbers_contradict_each_other_is_refused(pairs: Pairs) -> None:
    n, e, d, p, q, dp, dq, qi = (number(text) for _, text in pairs[RS256].jwk)
    assert crypto.load_private(pkcs1([n, e, d, p, q, dp, dq, qi])).spki == pairs[RS256].spki
    assert crypto.load_private(pkcs1([n, e, d, q, p, dq, dp, pow(p, -1, q)]))
    good = [n, e, d, p, q, dp, dq, qi]
    for at in range(len(good)):
        for other in (0, 1, 2, good[at] + 2, good[at] - 2, good[at] << 8000):
            with pytest.raises(ValueError, match="key"):
                crypto.load_private(pkcs1([*good[:at], other, *good[at + 1 :]]))
    phi = (p - 1) * (q - 1)
    equivalent = [[n, e + phi, d], [n, e, d + phi]]  # work as well, at a cost that has no bound
    twisted = [[*key, p, q, dp, dq, qi] for key in equivalent]
    twisted += [[n, e, d, p, q, dp, dq, qi + p], [n, e, d, *[0] * 5]]
    twisted += [[n, e, d, 1, n, dp, dq, qi], [n, e, d, n, 1, dp, dq, qi]]
    twisted += [rsa_numbers(3 << 1022, q)]
    for numbers in twisted:
        with pytest.raises(ValueError, match="key"):
            crypto.load_private(pkcs1(numbers))


def rsa_numbers(p: int, q: int, e: int = 65537) -> list[int]:
    """Make the numbers of a key from the first pair of factors at or after `p` that has them."""
    while math.gcd(e, p - 1) > 1 or math.gcd(p, q) > 1:
        p += 2
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    return [p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]


def test_a_factor_that_is_no_prime_harms_only_the_signature(pairs: Pairs) -> None:
    q = number(dict(pairs[RS256].jwk)["q"])
    key = crypto.load_private(pkcs1(rsa_numbers((3 << 1022) + 1, q)))
    assert key.spki != pairs[RS256].spki  # the comparison that the docstring asks for
    assert len(key.sign(MESSAGE)) == 256


def test_an_ec_key_with_the_public_half_of_another_is_refused() -> None:
    mine, other = crypto.generate(ES256), crypto.generate(ES256)
    key = body(mine.traditional_pem, "EC PRIVATE KEY")
    point = b"\x04" + octets(dict(other.jwk)["x"]) + octets(dict(other.jwk)["y"])
    forged = crypto.spki_pem(key[: -len(point)] + point).replace(b"PUBLIC", b"EC PRIVATE")
    with pytest.raises(ValueError, match="key"):
        crypto.load_private(forged)


@BOTH
@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_private_key_is_a_value_error_or_a_key(
    pairs: Pairs, algorithm: Algorithm, data: st.DataObject
) -> None:
    pem = bytearray(pairs[algorithm].traditional_pem)
    for _ in range(data.draw(st.integers(1, 3))):
        pem[data.draw(st.integers(0, len(pem) - 1))] = data.draw(st.integers(0, 255))
    try:
        key = crypto.load_private(bytes(pem))
    except ValueError:
        return
    signature = key.sign(MESSAGE)  # such as one with a changed line end
    assert crypto.load_public(key.spki, key.algorithm).verify(signature, MESSAGE)


@BOTH
def test_a_key_pair_shows_nothing_private(pairs: Pairs, algorithm: Algorithm) -> None:
    pair = pairs[algorithm]
    try:
        raise LookupError(pair)
    except LookupError as error:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    key = crypto.load_private(pair.pkcs8_pem)
    prepared = crypto.prepare(ES256)
    shown = f"{pair} {pair!r} {[pair]!r} {key!r} {prepared!r}" + "".join(trace.format())
    assert str(pair.id) in shown
    secrets = [text for name, text in pair.jwk if name not in {"n", "e", "crv", "x", "y"}]
    secrets += [str(number(text)) for text in secrets] + [f"{number(text):x}" for text in secrets]
    secrets += (pair.pkcs8_pem + pair.traditional_pem).decode().split("\n")[1:-2]
    assert not any(secret in shown for secret in secrets if len(secret) > 20)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_pair_is_never_pickled(pairs: Pairs, protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(pairs[ES256], protocol)


def test_a_copy_of_a_key_pair_is_itself(pairs: Pairs) -> None:
    pair = pairs[ES256]
    assert copy.copy(pair) is copy.deepcopy(pair) is pair


def test_a_rendered_pair_has_all_encodings_and_nothing_to_make_them_of() -> None:
    pair = crypto.prepare(ES256)()
    assert {"pkcs8_pem", "traditional_pem", "jwk"} <= vars(pair).keys()
    assert "_private" not in vars(pair)
    assert "PRIVATE" not in f"{pair!r} {pair}"


def test_sealed_values_open_with_the_same_key_and_context_only() -> None:
    sealed = crypto.seal(MASTER_KEY, b"secret", b"account 1")
    assert crypto.unseal(MASTER_KEY, sealed, b"account 1") == b"secret"
    assert b"secret" not in sealed
    assert len(sealed) == 12 + 6 + 16
    wrong = [(bytes(32), sealed, b"account 1"), (MASTER_KEY, sealed, b"account 2")]
    wrong += [(MASTER_KEY, sealed[:end], b"account 1") for end in range(len(sealed))]
    wrong += [(MASTER_KEY, sealed + b"\0", b"account 1")]
    for at in range(len(sealed)):
        damaged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        wrong.append((MASTER_KEY, damaged, b"account 1"))
    for arguments in wrong:
        with pytest.raises(ValueError, match="does not open"):
            crypto.unseal(*arguments)


def test_no_two_sealed_values_share_a_nonce() -> None:
    sealed = [crypto.seal(MASTER_KEY, b"", b"") for _ in range(1000)]
    assert len({value[:12] for value in sealed}) == 1000


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_master_key_has_256_bits(length: int) -> None:
    with pytest.raises(ValueError, match="32 octets"):
        crypto.seal(bytes(length), b"", b"")
    with pytest.raises(ValueError, match="32 octets"):
        crypto.unseal(bytes(length), bytes(40), b"")


@pytest.mark.parametrize("secret", ["abc", "ü", "", "a\0b"])
def test_digest_of_text_is_that_of_its_utf8(secret: str) -> None:
    assert crypto.digest(secret) == hashlib.sha256(secret.encode()).digest()
    assert crypto.digest(secret) == crypto.digest(secret.encode())


def test_digest_takes_a_stray_surrogate() -> None:
    assert len(crypto.digest("kf_\udc80")) == 32


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_both_sides_of_a_fork_draw_different_randomness() -> None:
    def draw() -> bytes:
        pair = crypto.generate(ES256)
        return pair.id.bytes + pair.fingerprint + crypto.seal(MASTER_KEY, b"", b"")[:12]

    draw()  # the random sources are in use before the fork
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, draw())
        os._exit(0)
    mine = draw()
    os.waitpid(child, 0)
    theirs = os.read(read, 100)
    os.close(read)
    os.close(write)
    for start, end in ((0, 16), (16, 48), (48, 60)):
        assert theirs[start:end] != mine[start:end]
