"""Clojure's notation of data (EDN), as far as histories of Jepsen use it."""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from brainctl.errors import InvalidInput

_TOKEN = re.compile(r'[\s,]*(?:;[^\n]*\n[\s,]*)*("(?:\\.|[^"\\])*"|#?\{|[\[\](){}]|#[\w.$/-]+|[^\s,\[\](){}"]+)')
_CLOSING = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_ESCAPED = re.compile(r"\\(.)")
_NAMED = {"n": "\n", "t": "\t", "r": "\r"}
_CONSTANTS: dict[str, bool | None] = {"nil": None, "true": True, "false": False}


class Keyword(NamedTuple):
    """A name such as :invoke, without its colon."""

    name: str


Key: TypeAlias = "Keyword | str | int | float | bool | None"
Value: TypeAlias = "Key | list[Value] | dict[Key, Value]"


def read_values(text: str) -> Iterator[Value]:
    """Yield the values of a text, one after the other; the name of a tagged value is left out.

    Raises:
        InvalidInput: It ends inside one, or has a word that is none.
    """
    words = _TOKEN.finditer(text)
    for word in words:
        if not word[1].startswith("#") or word[1] == "#{":
            yield _value(word[1], words)


def _value(word: str, words: Iterator[re.Match[str]]) -> Value:
    while word.startswith("#") and word != "#{":
        word = _next(words)
    if word in ("{", "[", "(", "#{"):
        values = list(_until(_CLOSING[word], words))
        return _map(values) if word == "{" else values
    return _atom(word)


def _until(closing: str, words: Iterator[re.Match[str]]) -> Iterator[Value]:
    while (word := _next(words)) != closing:
        yield _value(word, words)


def _next(words: Iterator[re.Match[str]]) -> str:
    word = next(words, None)
    if word is None:
        raise InvalidInput("the EDN ends inside a value")
    return word[1]


def _map(values: list[Value]) -> dict[Key, Value]:
    pairs = zip(values[::2], values[1::2], strict=True)
    return {key: value for key, value in pairs if not isinstance(key, list | dict)}


def _atom(word: str) -> Value:
    if word.startswith('"'):
        return _ESCAPED.sub(lambda found: _NAMED.get(found[1], found[1]), word[1:-1])
    if word.startswith(":"):
        return Keyword(word[1:])
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    try:
        return int(word.rstrip("NM"))
    except ValueError:
        pass
    try:
        return float(word.rstrip("NM"))
    except ValueError:
        return word
