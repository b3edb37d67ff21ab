"""The words of the product: docstrings of functions begin with a verb, those of values and classes with a noun."""

import ast
import re
from collections.abc import Iterator
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
    r"\b(so many|so much|let go of|lets go of|put an end to|hangs? on|is told|hears? of|none of its business|leave word"
    r"|for the sake of|has become of)\b"
)

NO_NOUN = re.compile(r"(What|How|Who|Where|Which|That|It|Its|And|The same|Of|By|They|Their|As)\b")


def functions() -> Iterator[tuple[str, str, str]]:
    """Yield file, name and docstring of each function of the product that has one."""
    for path in sorted((ROOT / "brainctl").rglob("*.py")):
        if path.match("*_pb2.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
                yield str(path.relative_to(ROOT)), node.name, text


def begins_with_a_verb(text: str) -> bool:
    """Return whether a docstring begins with a verb in the imperative."""
    return text.split(maxsplit=1)[0].strip(".,:;").lower() in VERBS


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    assert [f"{file}: {name}" for file, name, text in functions() if not begins_with_a_verb(text)] == []


def test_docstrings_speak_plainly() -> None:
    assert [f"{file}: {name}" for file, name, text in functions() if RIDDLES.search(text)] == []


def values() -> Iterator[tuple[str, str, str]]:
    """Yield file, name and description of each class, constant and attribute of the product that has one."""
    for path in sorted((ROOT / "brainctl").rglob("*.py")):
        if path.match("*_pb2.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node)):
                yield str(path.relative_to(ROOT)), node.name, text
            body = getattr(node, "body", None)
            for value, after in pairwise(body if isinstance(body, list) else ()):
                match value, after:
                    case ast.Assign(targets=[name]) | ast.AnnAssign(target=name), ast.Expr(ast.Constant(str(text))):
                        yield str(path.relative_to(ROOT)), ast.unparse(name), text


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
