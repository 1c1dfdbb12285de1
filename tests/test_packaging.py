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

from tests import licences

ROOT = Path(__file__).parents[1]
PACKAGES = ("clipmodel", "indexes", "retrieval")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(extra: str | None) -> list[Requirement]:
    """What pyproject.toml names, with an extra's, but for the extras' names of each other."""
    more = PROJECT["optional-dependencies"].get(extra, [])
    wanted = map(Requirement, [*PROJECT["dependencies"], *more])
    return [each for each in wanted if each.name != PROJECT["name"]]


LOCKS = {
    "requirements.lock": None,  # what everybody installs
    "requirements-dev.lock": "dev",
    "requirements-training.lock": "training",
}


def locked(name: str = "requirements.lock") -> dict[str, str]:
    pins = licences.locked(ROOT / name)
    return {canonicalize_name(package): version for package, version in pins.items()}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_all_that_is_asked_for_and_allows_it(name: str) -> None:
    pins = locked(name)
    for requirement in requirements(LOCKS[name]):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in {name}: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_sum_for_every_version_and_names_no_places(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        if not entry.startswith("#"):
            assert re.match(r"[\w.-]+==[\w.+!]+( ;[^\n]*)? \\\n", entry), entry
            assert re.fullmatch(
                r"( +--hash=sha256:[0-9a-f]{64}( \\)?\n?)+", entry.partition("\n")[2]
            )


def test_what_develops_has_the_versions_of_what_runs() -> None:
    core = locked()
    for name in LOCKS:
        assert core.items() <= locked(name).items(), name


def test_notice_lists_the_licence_of_every_dependency() -> None:
    assert licences.listed().keys() == licences.locked(licences.LOCK).keys(), "make licences"
    # In a process of its own: Ray adds packages that it has brought along to sys.path.
    ask = [sys.executable, "-c", "from tests import licences; print(licences.differing())"]
    said = subprocess.run(ask, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert said == "[]\n", "make licences"


def test_the_terms_of_the_weights_are_in_the_package() -> None:
    assert PROJECT["license"] == "MIT AND LicenseRef-Research-Weights"
    terms = (ROOT / "LICENSE-WEIGHTS").read_text()
    assert "LICENSE-WEIGHTS" in PROJECT["license-files"] and "research and education" in terms


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
            *("[console_scripts]", "retrieve", "=", "retrieval.cli.main:main")
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
