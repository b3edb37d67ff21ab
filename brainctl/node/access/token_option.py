"""The value of --auth-token: which kind of tokens a node issues, and with which keys (etcd server/auth/options.go)."""

from brainctl.clock import Clock
from brainctl.errors import BadArguments
from brainctl.node.access.tokens import SIMPLE_TTL_SECONDS, NoTokens, SimpleTokens, Tokens


def tokens_of(option: str, clock: Clock, simple_ttl_seconds: float = SIMPLE_TTL_SECONDS) -> Tokens:
    """Return the tokens that a value of --auth-token selects: `simple`, `jwt,sign-method=...,...` or nothing.

    Options of jwt: sign-method, pub-key and priv-key (PEM files, the public key also as a certificate; for HS the
    secret is the content of priv-key), and ttl (such as 10m).

    Raises:
        BadArguments: The value is none of these.
    """
    kind, *pairs = option.split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or name in options or "=" in value:
            raise BadArguments(f"--auth-token: {name!r} is not an option with one value")
        options[name] = value
    match kind:
        case "simple":
            return SimpleTokens(clock, simple_ttl_seconds)
        case "jwt":
            from brainctl.node.access.jwt_tokens import jwt_tokens  # noqa: PLC0415 - it takes long to load, and few ask for it

            return jwt_tokens(options, clock)
        case "":
            return NoTokens()
        case _:
            raise BadArguments(f"--auth-token: {kind!r} is neither simple nor jwt")
