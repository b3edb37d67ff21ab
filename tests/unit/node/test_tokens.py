"""Tokens and the option that chooses them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from brainctl.clock import ManualClock
from brainctl.errors import ApiError, BadArguments
from brainctl.mvcc.permission import Identity
from brainctl.node.access.jwt_tokens import METHODS, duration_seconds
from brainctl.node.access.token_option import tokens_of
from brainctl.node.access.tokens import SimpleTokens, Tokens, fingerprint

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
RSA_KEY = rsa.generate_private_key(65537, 2048)
SECRET = b"0123456789abcdef" * 4


def private_key(method: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    if method == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[method]) if method in CURVES else RSA_KEY


def write_keys(directory: Path, method: str) -> tuple[Path, Path | None]:
    """The files of a private key and, where there is one, of its public key."""
    private, public = directory / f"{method}.key", directory / f"{method}.pub"
    if method.startswith("HS"):
        private.write_bytes(SECRET)
        return private, None
    key = private_key(method)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def jwt_tokens(directory: Path, method: str, clock: ManualClock, ttl: str = "1m") -> Tokens:
    private, public = write_keys(directory, method)
    pub = f",pub-key={public}" if public else ""
    return tokens_of(f"jwt,sign-method={method},priv-key={private}{pub},ttl={ttl}", clock)


# -- simple tokens ----------------------------------------------------------------------------------------------------


def test_a_simple_token_lives_five_minutes_from_its_last_use() -> None:
    clock = ManualClock()
    tokens = SimpleTokens(clock)
    token = tokens.assign("user", 1)
    for revision in (2, 3):
        clock.advance(299)
        assert tokens.identify(token, revision) == Identity("user", revision)
    clock.advance(300)
    assert tokens.identify(token, 4) is None
    assert tokens.identify(token, 4) is None


def test_sessions_that_nobody_uses_are_forgotten() -> None:
    clock = ManualClock()
    tokens = SimpleTokens(clock)
    for _ in range(100):
        tokens.assign("user", 1)
    clock.advance(300)
    tokens.assign("user", 1)
    assert len(tokens._sessions) == 1


def test_the_tokens_of_one_user_can_be_ended() -> None:
    tokens = SimpleTokens(ManualClock())
    kept, ended = tokens.assign("a", 1), tokens.assign("b", 1)
    tokens.forget("b")
    assert tokens.identify(ended, 1) is None
    assert tokens.identify(kept, 1) == Identity("a", 1)
    tokens.clear()
    assert tokens.identify(kept, 1) is None


def test_a_fingerprint_does_not_tell_the_token() -> None:
    assert len(fingerprint("secret")) == 12
    assert fingerprint("secret") != fingerprint("secret2")


# -- JSON web tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_signed_token_names_user_and_revision_until_its_time_is_over(tmp_path: Path, method: str) -> None:
    clock = ManualClock()
    tokens = jwt_tokens(tmp_path, method, clock)
    token = tokens.assign("user", 7)
    clock.advance(59)
    assert tokens.identify(token, 9) == Identity("user", 7)
    clock.advance(1)
    assert tokens.identify(token, 9) is None


def test_a_token_of_another_key_or_another_method_is_nobodys(tmp_path: Path) -> None:
    clock = ManualClock()
    (tmp_path / "other").mkdir()
    ours, theirs = (jwt_tokens(directory, "ES256", clock) for directory in (tmp_path, tmp_path / "other"))
    assert ours.identify(theirs.assign("root", 1), 1) is None
    claims = {"username": "root", "revision": 1}
    public = (tmp_path / "ES256.pub").read_bytes()
    forged = [jwt.encode(claims, "", algorithm="none"), jwt.encode(claims, SECRET, algorithm="HS256"), "", "a.b.c"]
    assert public not in forged
    assert all(ours.identify(token, 1) is None for token in forged)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"username": "u"},
        {"revision": 1},
        {"username": 5, "revision": 1},
        {"username": "u", "revision": "1"},
        {"username": "u", "revision": True},
        {"username": "u", "revision": -1},
        {"username": "u", "revision": 1, "exp": "never"},
        {"username": "u", "revision": 1, "nbf": 10**12},
        {"username": "u", "revision": 1, "nbf": "now"},
    ],
)
def test_claims_that_are_not_those_of_etcd_are_refused(tmp_path: Path, claims: dict[str, object]) -> None:
    tokens = jwt_tokens(tmp_path, "HS256", ManualClock())
    assert tokens.identify(jwt.encode({"username": "u", "revision": 1}, SECRET, algorithm="HS256"), 1)
    assert tokens.identify(jwt.encode(claims, SECRET, algorithm="HS256"), 1) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "etcd"},
        {"aud": ["etcd", "others"], "iss": "https://issuer.example"},
        {"sub": 5, "jti": 6, "iss": 7},
        {"iat": 10**12},
        {"nbf": 1, "exp": 10**12},
    ],
    ids=str,
)
def test_claims_that_other_issuers_add_do_not_matter(tmp_path: Path, claims: dict[str, object]) -> None:
    tokens = jwt_tokens(tmp_path, "HS256", ManualClock(1000))
    token = jwt.encode({"username": "u", "revision": 1}, SECRET, algorithm="HS256")
    assert tokens.identify(token, 1)
    # Of another issuer: PyJWT would not write some of these.
    payload = {"username": "u", "revision": 1} | claims
    token = jwt.PyJWS().encode(json.dumps(payload).encode(), SECRET, algorithm="HS256")
    assert tokens.identify(token, 1) == Identity("u", 1)


@pytest.mark.parametrize("form", ["PKCS#1", "SEC 1 after its parameters"])
def test_keys_in_the_older_forms_of_openssl(tmp_path: Path, form: str) -> None:
    method = "RS256" if form == "PKCS#1" else "ES256"
    key = private_key(method)
    private, public = tmp_path / "private", tmp_path / "public"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    private.write_bytes(pem if form == "PKCS#1" else parameters + pem)
    public_form = PublicFormat.PKCS1 if form == "PKCS#1" else PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, public_form))
    tokens = tokens_of(f"jwt,sign-method={method},priv-key={private},pub-key={public}", ManualClock())
    assert tokens.identify(tokens.assign("user", 3), 3) == Identity("user", 3)


def test_a_key_that_can_never_sign_is_refused_at_the_start(tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, "RS256")
    with pytest.raises(BadArguments, match="the key is not one for HS256"):
        tokens_of(f"jwt,sign-method=HS256,priv-key={private}", ManualClock())


def test_with_a_public_key_alone_tokens_are_verified_and_not_made(tmp_path: Path) -> None:
    clock = ManualClock()
    signer = jwt_tokens(tmp_path, "EdDSA", clock)
    verifier = tokens_of(f"jwt,sign-method=EdDSA,pub-key={tmp_path / 'EdDSA.pub'}", clock)
    assert verifier.identify(signer.assign("user", 3), 3) == Identity("user", 3)
    with pytest.raises(ApiError, match="verify-only key"):
        verifier.assign("user", 3)


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """A certificate of the key, signed by itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("method", ["RS256", "ES256"])
def test_a_certificate_serves_as_public_key(tmp_path: Path, method: str) -> None:
    private, public = write_keys(tmp_path, method)
    key = load_pem_private_key(private.read_bytes(), None)
    assert public is not None
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    public.write_bytes(certificate(key))
    tokens = tokens_of(f"jwt,sign-method={method},priv-key={private},pub-key={public}", ManualClock())
    assert tokens.identify(tokens.assign("user", 3), 3) == Identity("user", 3)


def test_a_certificate_does_not_serve_for_ed25519(tmp_path: Path) -> None:
    (tmp_path / "EdDSA.crt").write_bytes(certificate(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(BadArguments, match="not PEM that can be read"):
        tokens_of(f"jwt,sign-method=EdDSA,pub-key={tmp_path / 'EdDSA.crt'}", ManualClock())


# -- the option -------------------------------------------------------------------------------------------------------


def test_no_tokens_at_all() -> None:
    tokens = tokens_of("", ManualClock())
    assert tokens.identify("anything", 1) is None
    with pytest.raises(ApiError, match="authentication failed"):
        tokens.assign("user", 1)


@pytest.mark.parametrize(
    "option",
    [
        "complex",
        "jwt",
        "jwt,sign-method=RS256",
        "jwt,sign-method=none",
        "jwt,sign-method=HS256",
        "jwt,sign-method=HS256,priv-key={dir}/absent",
        "jwt,sign-method=RS256,priv-key={dir}/ES256.key",
        "jwt,sign-method=ES256,pub-key={dir}/RS256.pub",
        "jwt,sign-method=ES256,priv-key={dir}/HS256.key",
        "jwt,sign-method=ES256,priv-key={dir}/ES256.key,pub-key={dir}/other.pub",
        "jwt,sign-method=HS256,priv-key={dir}/HS256.key,ttl=soon",
        "jwt,sign-method=HS256,sign-method=HS256,priv-key={dir}/HS256.key",
        "jwt,sign-method",
    ],
)
def test_options_that_cannot_be_met_are_refused(tmp_path: Path, option: str) -> None:
    for method in ("ES256", "RS256", "HS256"):
        write_keys(tmp_path, method)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "other.pub").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(BadArguments, match=r"--auth-token|duration"):
        tokens_of(option.format(dir=tmp_path), ManualClock())


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds
