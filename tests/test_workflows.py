"""The workflows of GitHub: what they run is there, on every Python, and the tests pass before anything is published."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(path.name for path in FOLDER.glob("*.yml"))
TARGETS = set(re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
Jobs = dict[str, dict[str, Any]]


def jobs_of(name: str) -> Jobs:
    found: Jobs = yaml.safe_load((FOLDER / name).read_text())["jobs"]
    return found


def broken(jobs: Jobs) -> Iterator[str]:
    """Yield what the jobs of a workflow name and is not there: targets of make, jobs, values of a matrix, workflows."""
    for name, job in jobs.items():
        yield from (f"{name}: no job {other}" for other in needs(job) if other not in jobs)
        if "uses" in job and not (ROOT / job["uses"]).is_file():
            yield f"{name}: no file {job['uses']}"
        for target in re.findall(r"\bmake ([\w./-]+)", "\n".join(step.get("run", "") for step in job.get("steps", ()))):
            if target not in TARGETS:
                yield f"{name}: no target {target} in the Makefile"
        for value in re.findall(r"\$\{\{ *matrix\.(\w+)", str(job)):
            if value not in job["strategy"]["matrix"]:
                yield f"{name}: no {value} in the matrix"


def needs(job: dict[str, Any]) -> list[str]:
    found = job.get("needs", [])
    return [found] if isinstance(found, str) else found


def before(jobs: Jobs, name: str) -> set[str]:
    """Return the jobs that have to pass before another one begins."""
    found: set[str] = set()
    left = [*needs(jobs[name])]
    while left:
        job = left.pop()
        if job not in found:
            found.add(job)
            left += needs(jobs[job])
    return found


def runs(jobs: Jobs, command: str) -> set[str]:
    """Return the jobs that run a command, themselves or in a workflow that they call."""
    return {
        name
        for name, job in jobs.items()
        if any(command in step.get("run", "") for step in job.get("steps", ()))
        or ("uses" in job and runs(jobs_of(Path(job["uses"]).name), command))
    }


def unchecked(jobs: Jobs) -> list[str]:
    """Return the jobs that publish although not all of the checks and tests have to pass first."""
    publishing = [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})]
    wanted = [runs(jobs, "make check"), runs(jobs, "make test")]
    return [name for name in publishing if not all(jobs_that & before(jobs, name) for jobs_that in wanted)]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_workflow_names_is_there(name: str) -> None:
    assert list(broken(jobs_of(name))) == []


def test_every_supported_python_is_tested() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    supported = [match[1] for each in classifiers if (match := re.search(r"Python :: (3\.\d+)$", each))]
    assert supported == ["3.11", "3.12", "3.13", "3.14"]
    (test,) = [job for job in jobs_of("checks.yml").values() if "make test" in str(job)]
    assert test["strategy"]["matrix"]["python"] == supported
    assert any(machine.endswith("-arm") for machine in test["strategy"]["matrix"]["machine"])


def test_nothing_is_published_before_the_tests() -> None:
    jobs = jobs_of("release.yml")
    assert unchecked(jobs) == []
    assert before(jobs, "publish") == {"checks", "build"}
    called = yaml.safe_load((FOLDER / "checks.yml").read_text())
    assert "workflow_call" in called[True], "`on` is true to a reader of YAML 1.1"


def test_control_a_workflow_with_mistakes_is_found() -> None:
    jobs: Jobs = {
        "test": {"steps": [{"run": "make tset"}, {"run": "python ${{ matrix.python }}"}], "strategy": {"matrix": {}}},
        "build": {"uses": "./.github/workflows/nothing.yml", "needs": "tests"},
    }
    found = ["test: no target tset in the Makefile", "test: no python in the matrix", "build: no job tests"]
    assert list(broken(jobs)) == [*found, "build: no file ./.github/workflows/nothing.yml"]


def test_control_publishing_beside_the_tests_is_found() -> None:
    jobs = jobs_of("release.yml")
    jobs["publish"]["needs"] = "build"
    assert unchecked(jobs) == ["publish"]
