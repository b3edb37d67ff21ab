"""The words of the product: docstrings of functions begin with a verb, those of values and classes with a noun."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERBS = frozenset(
    re.findall(
        r"\w+",
        """
        accept acquire act add allow answer append apply ask assert attach authenticate back begin bind
        bring build call cancel carry change check choose clean clear close collect come commit compact
        compare complete compute confirm connect convert copy count cover create cut deal decide decode
        defragment delete deliver deny describe detach disarm discard do draw drop dump elect empty encode
        end enforce ensure enter estimate evaluate evict exit expect expire extend fail fetch fill filter
        find finish fit flush follow forget forward free freeze generate get give go grant group grow guess
        halt handle hand hash have hold host insert install interpret iterate join keep label lay lead learn
        leave let limit link list listen load lock log look lose make map mark match measure merge migrate
        move name negotiate note notify number obtain offer open order pack parse pass pause pay pick plan
        point poll pop post prepare present print probe produce promote prove provide publish push put queue
        quote raise read rebuild recall receive reclaim recognise recompute reconnect record recover refresh
        refuse register reject release reload remember remove rename render renew reopen repair repeat
        replace replay reply report request require reserve reset resign resolve respond restart restore
        resume retry return reuse reverse revoke rewind rewrite roll rotate round run sample save say scan
        schedule scrub search see seek select send serve set settle shorten show shrink shut signal skip
        sleep sort split spread stage start state stop store strip submit subtract sum swap switch sync take
        tell terminate test time trace track translate trim truncate trust try turn undo unfreeze unlock
        unpack unregister update upgrade use validate verify visit wait wake walk warn watch weigh widen
        withdraw wrap write yield
        """,
    )
)
RIDDLES = re.compile(
    r"\b(so many|so much|this much|that much|let(s|ting)? go of|put(s|ting)? an end to|h[au]ngs? on|is told|hears? of"
    r"|none of its business|leaves? word|for the sake of|has become of|what there is to|mend(s|ed|ing)?|sent away"
    r"|nobody asked|gets? to know|say hello)\b|\b(return|yield|write|give) the same[.:;]",
    re.IGNORECASE,
)
"""Phrases that a reader has to guess at. Each was found in this tree, and has been replaced."""
PAGES = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]

NO_NOUN = re.compile(r"(What|How|Who|Where|Which|That|It|Its|And|The same|Of|By|They|Their|As)\b")


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Return file and node of all that the product consists of; parsed once for all tests."""
    return [
        (str(path.relative_to(ROOT)), node)
        for path in sorted((ROOT / "brainctl").rglob("*.py"))
        if not path.match("*_pb2.py")
        for node in ast.walk(ast.parse(path.read_text()))
    ]


def functions() -> Iterator[tuple[str, str, str]]:
    """Yield file, name and docstring of each function of the product that has one."""
    for file, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            yield file, node.name, text


def begins_with_a_verb(text: str) -> bool:
    """Return whether a docstring begins with a verb in the imperative."""
    return text.split(maxsplit=1)[0].strip(".,:;").lower() in VERBS


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    assert [f"{file}: {name}" for file, name, text in functions() if not begins_with_a_verb(text)] == []


def test_docstrings_speak_plainly() -> None:
    assert [f"{file}: {name}" for file, name, text in functions() if RIDDLES.search(text)] == []


def values() -> Iterator[tuple[str, str, str]]:
    """Yield file, name and description of each class, constant and attribute of the product that has one."""
    for file, node in nodes():
        if isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node)):
            yield file, node.name, text
        body = getattr(node, "body", None)
        for value, after in pairwise(body if isinstance(body, list) else ()):
            match value, after:
                case ast.Assign(targets=[name]) | ast.AnnAssign(target=name), ast.Expr(ast.Constant(str(text))):
                    yield file, ast.unparse(name), text


def test_values_and_classes_are_described_by_nouns() -> None:
    assert [f"{file}: {name}: {text}" for file, name, text in values() if NO_NOUN.match(text)] == []
    assert [f"{file}: {name}: {text}" for file, name, text in values() if RIDDLES.search(text)] == []
    assert len(list(values())) > 1000


@pytest.mark.parametrize("text", ["How many there are.", "What to do.", "By path.", "It is durable.", "The same."])
def test_control_a_description_that_is_no_noun_is_noticed(text: str) -> None:
    assert NO_NOUN.match(text)


@pytest.mark.parametrize(
    "text", ["The keys of a range.", "Whether it is open.", "What a client is told.", "Bytes of the log."]
)
def test_control_a_noun_is_noticed(text: str) -> None:
    assert not begins_with_a_verb(text)


def texts() -> Iterator[tuple[str, str]]:
    """Yield place and text of each comment, docstring and message of the product, and of each paragraph of a page."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for path in sorted((ROOT / "brainctl").rglob("*.py")):
        if not path.match("*_pb2.py"):
            for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
                if token.type in kinds:
                    yield f"{path.relative_to(ROOT)}:{token.start[0]}", " ".join(token.string.split())
    for path in sorted(PAGES):
        for block in path.read_text().split("\n\n"):
            yield str(path.relative_to(ROOT)), " ".join(block.split())


def test_comments_messages_and_pages_speak_plainly() -> None:
    found = [f"{place}: {match[0]}" for place, text in texts() for match in RIDDLES.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "text", ["# so many at a time", '"""Return the same."""', "Keys hang on a lease.", "raise it, and mend the cause"]
)
def test_control_a_riddle_is_noticed(text: str) -> None:
    assert RIDDLES.search(text)


# -- the glossary ------------------------------------------------------------------------------------------------------

GLOSSARY = ROOT / "docs" / "glossary.md"
PAGED = (
    "brainctl/(client|commands|engine/(index|background)|migrate|mvcc/read|node/services|stores|tikv|verify|wire/bbolt)"
)
"""Folders in which a page is the next keys of a range, or a page of a database file."""
RETIRED = [
    (re.compile(r"(?i)(^|_)medium"), "-", "disk, or backend"),
    (re.compile(r"(^|_)notes?(_|$)"), "-", "add, record, or what is stored"),
    (re.compile(r"[a-z]Run$|_runs?$|^runs$"), "brainctl/(engine|backup)", "burst, span, or what it is a run of"),
    (re.compile(r"(?i)(^|_)pages?(_|$)|Page"), PAGED, "response, handler, event batch, or cached range"),
]
"""Names of another meaning than the glossary's, where the glossary's is meant, and what to say instead."""


def names() -> Iterator[tuple[str, str, str]]:
    """Yield file, name and result of each function of the product; of each class file and name."""
    for file, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield file, node.name, ast.unparse(node.returns) if node.returns else ""
        elif isinstance(node, ast.ClassDef):
            yield file, node.name, ""


def misused(file: str, name: str) -> list[str]:
    """Return what to call a thing instead, when its name has another meaning in the glossary."""
    return [
        instead
        for pattern, meant, instead in RETIRED
        if pattern.search(name) and name != "_run" and not re.match(meant, file)
    ]


def test_names_have_the_meaning_of_the_glossary() -> None:
    assert [f"{file}: {name}: {found}" for file, name, _ in names() if (found := misused(file, name))] == []


def test_what_is_taken_is_returned() -> None:
    taken = [(file, name, result) for file, name, result in names() if re.match(r"_?take(_|$)", name)]
    assert [row for row in taken if row[2] == "None" and "take_over" not in row[1]] == []


@pytest.mark.parametrize("name", ["medium", "_note_loss", "submit_run", "OwnRun", "begin_page", "Page"])
def test_control_a_name_of_another_meaning_is_noticed(name: str) -> None:
    assert misused("brainctl/server/app.py", name)


def test_every_word_of_the_glossary_is_used() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", GLOSSARY.read_text(), re.MULTILINE)
    words = [word for row in rows if row != "word" for word in re.sub(r" \(.*\)", "", row).split(", ")]
    code = " ".join(path.read_text() for path in (ROOT / "brainctl").rglob("*.py") if not path.match("*_pb2.py"))
    code += " ".join(path.read_text() for path in PAGES if path != GLOSSARY)
    plain = " ".join(re.sub(r"[#_`*-]", " ", code).lower().split())
    assert len(words) > 100
    assert [word for word in words if word.lower().replace("-", " ") not in plain] == []
