"""What is installed: one distribution, typed, with its data, from a lock that covers it all."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("clipmodel", "indexes", "retrieval")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    """All that pyproject.toml names, extras included, but for the extras' names of each other."""
    extras = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    wanted = map(Requirement, [*PROJECT["dependencies"], *extras])
    return [each for each in wanted if each.name != PROJECT["name"]]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_the_lock_pins_all_that_is_asked_for_and_allows_it() -> None:
    pins = locked()
    for requirement in requirements():
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"


def test_the_lock_names_versions_and_no_places() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.+!]+", line), line


def test_torch_and_torchvision_are_the_ordinary_pair() -> None:
    """A build for the CPU alone ("+cpu") does not work with torchvision as PyPI has it."""
    assert "+" not in locked()["torch"] + locked()["torchvision"]


def test_the_changelog_knows_the_version() -> None:
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_ci_runs_the_same_as_people_do() -> None:
    script = ROOT / ".ci/run"
    assert "make lint" in script.read_text() and "make test" in script.read_text()
    assert sys.platform == "win32" or script.stat().st_mode & 0o111


@pytest.mark.slow
def test_a_wheel_holds_code_and_data_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    [wheel] = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        [scripts] = [name for name in held if name.endswith("entry_points.txt")]
        assert archive.read(scripts).decode().split() == [
            *("[console_scripts]", "retrieve", "=", "retrieval.cli:main")
        ]
    licences = {Path(name).name for name in held if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}
    files = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file()
    }
    assert {name for name in held if ".dist-info/" not in name} == files
