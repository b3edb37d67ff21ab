"""The verdict on a history, written for people, for programs and for CI."""

from xml.sax.saxutils import quoteattr

import orjson

from brainctl.check.anomaly import KINDS
from brainctl.check.checker import Verdict
from brainctl.check.examine import Finding


def text(finding: Finding, seconds: float) -> bytes:
    """Return the contradictions, a line each, and the verdict as the last line."""
    verdict = finding.verdict
    lines = [f"{anomaly.kind}: {anomaly.text}" for anomaly in verdict.anomalies]
    if verdict.found > len(verdict.anomalies):
        lines.append(f"... and {verdict.found - len(verdict.anomalies)} more")
    if finding.counterexample is not None:
        lines.append(f"shown by {len(finding.counterexample.lines)} lines of the history:")
        lines += [f"  {orjson.dumps(line).decode()}" for line in finding.counterexample.lines]
    if verdict.undecided:
        lines.append(f"undecided: {verdict.undecided}")
    lines.append(f"{_word(verdict)}: {_amount(verdict)}, {seconds:.1f} s")
    return "\n".join(lines).encode(errors="backslashreplace") + b"\n"


def json(finding: Finding, seconds: float) -> bytes:
    """Return the verdict as one object; numbers that may be large are strings."""
    verdict, small = finding.verdict, finding.counterexample
    fields = {
        "holds": verdict.holds,
        "undecided": verdict.undecided,
        "operations": verdict.operations,
        "unknown": verdict.unknown,
        "events": verdict.events,
        "not_checked": verdict.not_checked,
        "revision": str(verdict.revision),
        "found": verdict.found,
        "anomalies": [
            {"kind": one.kind, "text": one.text, "revision": str(one.revision), "lines": one.lines}
            for one in verdict.anomalies
        ],
        "counterexample": None if small is None else {"header": small.header, "lines": small.lines},
        "seconds": seconds,
    }
    return orjson.dumps(fields) + b"\n"


def junit(finding: Finding, name: str, seconds: float, shortfall: str = "") -> bytes:
    """Return JUnit's XML: a case for each kind of contradiction, and one for the load of a run."""
    verdict = finding.verdict
    by_kind = {kind: [one.text for one in verdict.anomalies if one.kind == kind] for kind in KINDS}
    cases = [_case(kind, meaning, by_kind[kind]) for kind, meaning in KINDS.items()]
    cases.append(_case("undecided", "every operation was judged", [verdict.undecided] if verdict.undecided else []))
    cases.append(_case("load", "as much was loaded as asked for", [shortfall] if shortfall else []))
    failures = sum("<failure" in case for case in cases)
    head = f'<testsuite name={quoteattr(name)} tests="{len(cases)}" failures="{failures}" time="{seconds:.3f}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>", ""]).encode(
        errors="xmlcharrefreplace"
    )


def _case(kind: str, meaning: str, texts: list[str]) -> str:
    head = f'  <testcase classname="brainctl.check.history" name={quoteattr(kind)}'
    if not texts:
        return f"{head}/>"
    return f"{head}><failure message={quoteattr(texts[0])}>{_escaped(meaning, *texts)}</failure></testcase>"


def _escaped(*texts: str) -> str:
    return quoteattr("\n".join(texts))[1:-1].replace("&#10;", "\n")


def _word(verdict: Verdict) -> str:
    if verdict.found:
        return "violated"
    return "undecided" if verdict.undecided else "holds"


def _amount(verdict: Verdict) -> str:
    unknown = f" ({verdict.unknown} writes of unknown outcome)" if verdict.unknown else ""
    parts = [f"{verdict.operations} operations{unknown}", f"{verdict.events} events", f"revision {verdict.revision}"]
    if verdict.not_checked:
        parts.append(f"{verdict.not_checked} reads or responses not checked, because they look too far back")
    return ", ".join(parts)
