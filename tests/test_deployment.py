"""docker-compose.yml and Dockerfile: there is no Docker here, so they are read, not run."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from retrieval.cli.main import cli

yaml = pytest.importorskip("yaml")  # the extra `cluster` brings it

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return read


def test_services_wait_for_services_that_tell_their_health(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert {"postgres", "milvus", "app"} <= services.keys()
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and services[other]["healthcheck"], name


def test_every_volume_is_declared_and_every_image_has_a_version(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for volume in service["volumes"]:
            source = volume.rpartition("}")[0] or volume.partition(":")[0]
            assert source.startswith("$") or source in composed["volumes"], name
        if image := service.get("image"):
            assert re.search(r":\w*\.?\d", image), image


def test_no_secret_has_a_default() -> None:
    variables = re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE.read_text())
    assert {"POSTGRES_PASSWORD", "MINIO_PASSWORD", "RETRIEVE_TOKEN"} <= {n for n, _ in variables}
    assert all(rest.startswith(":?") for _, rest in variables)


def test_its_commands_are_commands_of_ours(composed: dict[str, Any]) -> None:
    lines = re.findall(r"^#.*run --rm app (.*)$", COMPOSE.read_text(), re.MULTILINE)
    for arguments in [composed["services"]["app"]["command"], *map(shlex.split, lines)]:
        command = cli.get_command(click.Context(cli), arguments[0])
        assert command is not None
        command.make_parser(click.Context(command)).parse_args([*arguments[1:]])
    assert lines


def test_what_the_image_copies_exists() -> None:
    lines = [line.split() for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in [name for line in lines for name in line[1:-1]]:
        assert (ROOT / name).exists() and f"!{name}" in ignored, name
