"""Every test here that takes `api` runs against all of them."""

from tests.support.apis import api as api  # noqa: PLC0414 - pytest finds fixtures by their name here
