"""The manifests for Kubernetes: what they name fits together, and brainctl takes what they give it."""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from brainctl.cli.serve_flags import FLAGS
from brainctl.commands.serve.settings import ServeSettings

FILE = Path(__file__).resolve().parent.parent / "packaging" / "kubernetes" / "brainctl.yaml"
Manifest = dict[str, Any]
KNOWN = {flag.name for flag in FLAGS} | {"store"}


def of_kind(kind: str) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(FILE.read_text()) if one["kind"] == kind]


@pytest.fixture
def pod() -> Manifest:
    found: Manifest = of_kind("StatefulSet")[0]["spec"]["template"]
    return found


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    found: Manifest = pod["spec"]["containers"][0]
    return found


def file_of(container: Manifest) -> tuple[str, str]:
    """Return the path of the file of settings in a container, and its text."""
    path = next(arg.removeprefix("--config-file=") for arg in container["args"] if arg.startswith("--config-file="))
    folder, _, name = path.rpartition("/")
    assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}
    return path, of_kind("ConfigMap")[0]["data"][name]


def test_selectors_find_the_pods(pod: Manifest) -> None:
    labels = pod["metadata"]["labels"]
    sets, budgets = of_kind("StatefulSet"), of_kind("PodDisruptionBudget")
    assert [one["spec"]["selector"]["matchLabels"] for one in (*sets, *budgets)] == [labels, labels]
    assert [service["spec"]["selector"] for service in of_kind("Service")] == [labels, labels]
    assert sets[0]["spec"]["serviceName"] in [one["metadata"]["name"] for one in of_kind("Service")]
    assert sets[0]["spec"]["replicas"] > budgets[0]["spec"]["maxUnavailable"]


def test_flags_and_settings_are_known_and_files_are_mounted(container: Manifest, tmp_path: Path) -> None:
    flags = {arg.removeprefix("--").partition("=")[0] for arg in container["args"]}
    assert flags <= KNOWN
    text = file_of(container)[1]
    settings = tomllib.loads(text)
    assert set(settings) <= KNOWN
    store = urlsplit(settings["store"])
    files = [value for values in parse_qs(store.query).values() for value in values]
    files += [value for name, value in settings.items() if name.endswith("-file")]
    mounts = tuple(mount["mountPath"] + "/" for mount in container["volumeMounts"])
    assert [file for file in files if not file.startswith(mounts)] == []
    place = tmp_path / "serve.toml"
    place.write_text(text)
    read = ServeSettings({"config_file": str(place)}, {})
    assert read.place("")[1] == settings["store"]


def test_ports_and_probes_lead_to_what_is_served(container: Manifest) -> None:
    settings = tomllib.loads(file_of(container)[1])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    heard = {name: urlsplit(settings[f"listen-{name}-urls"][0]).port for name in ("client", "metrics")}
    assert (ports["etcd"], ports["metrics"]) == (heard["client"], heard["metrics"])
    alive, ready = (container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe"))
    assert (alive["port"], ready["port"]) == ("metrics", "metrics")
    assert ready["path"] == "/readyz"
    assert alive["path"] == "/livez?exclude=serializable_read", "TiKV is away, and all instances are restarted for it"
    targets = {port["targetPort"] for service in of_kind("Service") for port in service["spec"]["ports"]}
    assert targets <= set(ports)


def test_each_instance_has_a_name_and_urls_of_its_own(container: Manifest) -> None:
    own = [arg for arg in container["args"] if "$(POD_NAME)" in arg]
    assert [arg.partition("=")[0] for arg in own] == ["--name", "--advertise-client-urls"]
    assert [one["name"] for one in container["env"]] == ["POD_NAME"]
