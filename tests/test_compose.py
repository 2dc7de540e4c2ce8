"""What compose.yaml starts: versions that stay, and nothing that other machines can reach."""

from __future__ import annotations

import re

import pytest

from pipelines.__main__ import _parser
from tests.conftest import ROOT

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def images(service):
    built = service.get("build", {}).get("dockerfile_inline", "")
    return [service["image"]] if "image" in service else re.findall(r"FROM (\S+)", built)


def test_ports_are_those_of_this_machine(services):
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 2 and all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert [name for name, service in services.items() if service.get("network_mode") == "host"] == ["label"]


def test_versions_are_pinned_and_no_password_is_written_down(services):
    used = [image for service in services.values() for image in images(service)]
    assert len(used) == 2 and all(re.search(r":\d+\.\d+\.\d+", image) for image in used)
    secrets = [
        value
        for service in services.values()
        for name, value in service["environment"].items()
        if "PASSWORD" in name or "USERS" in name
    ]
    assert len(secrets) == 2 and all("${ORTHANC_PASSWORD:?" in value for value in secrets)


def test_the_label_server_is_started_by_a_command_that_there_is(services):
    words = services["label"]["command"].split()
    assert words[:3] == ["python", "-m", "pipelines"]
    asked = vars(_parser().parse_args(words[3:]))
    assert asked["bundles"] == ["lungs", "pneumonia"] and asked["studies"].startswith("http://127.0.0.1:8042/")
