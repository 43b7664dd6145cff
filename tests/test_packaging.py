"""What pyproject.toml asks for is pinned, and what tests may lack is in one of its groups."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import skhyperfusion

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Where a module's name is another.
DISTRIBUTIONS = {"imblearn": "imbalanced-learn", "distributed": "dask", "sksurv": "scikit-survival"}


def plain(name):
    return re.sub("[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {plain(line): line.split("==")[1] for line in lines if not line.startswith("#")}


def groups():
    return {"needed": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}


@pytest.mark.parametrize("group", groups())
def test_requirement_is_pinned_at_a_version_that_it_allows(group):
    pinned = pins("constraints.txt")
    for requirement in groups()[group]:
        version = pinned.get(plain(requirement))
        assert version is not None, f"{requirement} is not in constraints.txt"
        assert _numbers(version) >= _numbers(_least(requirement))


def test_oldest_versions_are_those_that_are_declared():
    oldest = pins("constraints-oldest.txt")
    declared = {
        plain(requirement): _least(requirement)
        for group in ["needed", "plot", "dicom", "tiff", "explain", "safe", "onnx", "distributed", "test"]
        for requirement in groups()[group]
    }
    undeclared = {"distributed", "pyparsing"}  # what dask and matplotlib ask for beside them
    assert set(oldest) == set(declared) | undeclared
    assert oldest["distributed"] == oldest["dask"]
    for name in set(oldest) - undeclared:
        assert re.fullmatch(re.escape(declared[name]) + r"(\.0)*", oldest[name]), f"{name}: {oldest[name]}"


def _least(requirement):
    return re.search(r">=([\d.]+)$", requirement)[1]


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)]


def test_package_that_a_test_may_lack_is_in_a_group():
    wanted = {
        name.partition(".")[0]
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r'importorskip\(f?"([\w.]+)', path.read_text(encoding="utf-8"))
    }
    listed = {plain(requirement) for requirements in groups().values() for requirement in requirements}
    assert {"optuna", "mapie", "imblearn", "skrub", "accelerate", "polars"} <= wanted
    assert {name for name in wanted if plain(DISTRIBUTIONS.get(name, name)) not in listed} == set()


def optional_imports():
    """Yield (file, package, extra) for every call that states them; in a loop over packages it may not."""
    for path in sorted((ROOT / "skhyperfusion").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "import_optional":
                stated = [node.args[0], *(word.value for word in node.keywords if word.arg == "extra")]
                if all(isinstance(one, ast.Constant) for one in stated):
                    yield path.name, stated[0].value.partition(".")[0], stated[1].value


def test_every_extra_that_a_message_names_installs_the_package():
    found = list(optional_imports())
    assert {"_optional.py", "_dicom_file.py", "_augmentation.py"} <= {file for file, _, _ in found}
    for file, package, extra in found:
        assert package in [plain(one) for one in groups()[extra]], (
            f"{file}: {extra!r} does not install {package}"
        )


def test_version_stands_in_one_place_and_the_citation_agrees():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert PROJECT["dynamic"] == ["version"]
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == skhyperfusion.__version__


def test_wheel_is_told_to_carry_the_mark_by_which_type_checkers_read_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["skhyperfusion"]
    assert (ROOT / "skhyperfusion" / "py.typed").is_file()


def test_source_distribution_is_told_to_hold_what_a_packager_needs():
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8")
    for name in ["benchmarks", "docs", "examples", "tests", ".ci"]:
        assert f"graft {name}\n" in manifest
        assert (ROOT / name).is_dir()
    for name in re.search(r"^include (.+)$", manifest, re.MULTILINE)[1].split():
        assert list(ROOT.glob(name)), f"MANIFEST.in names {name}, which is not there"
