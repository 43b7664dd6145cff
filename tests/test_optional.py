"""Packages that may be absent: absent and broken are told apart."""

import re
import sys

import pytest

from skhyperfusion._optional import axes_or_new, import_optional, import_pyplot


def test_package_when_absent_is_named_with_its_extra():
    with pytest.raises(ImportError) as caught:
        import_optional("no_such_package.inner", "Reading tea leaves", extra="tea")
    assert str(caught.value) == (
        "Reading tea leaves needs no_such_package, which is not installed. "
        'Run: pip install "skhyperfusion[tea]".'
    )
    assert caught.value.name == "no_such_package"


def test_submodule_when_it_is_there_is_returned():
    assert import_optional("importlib.metadata", "A test", extra="test") is sys.modules["importlib.metadata"]


@pytest.mark.parametrize(
    "fault", [RuntimeError("operator torchvision::nms does not exist"), ImportError("x")]
)
def test_package_when_it_fails_at_import_is_not_said_to_be_absent(tmp_path, monkeypatch, fault):
    (tmp_path / "broken_package.py").write_text(f"raise {type(fault).__name__}({str(fault)!r})")
    monkeypatch.syspath_prepend(tmp_path)
    words = re.escape(f"cannot be imported as it is installed ({type(fault).__name__}: {fault})")
    with pytest.raises(
        ImportError, match=rf"^A test needs broken_package, which {words}.*--upgrade.*\[tea\]"
    ):
        import_optional("broken_package", "A test", extra="tea")


def test_package_when_it_lacks_its_own_dependency_names_that_one(tmp_path, monkeypatch):
    (tmp_path / "hungry_package.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"hungry_package, which cannot be imported.*no_such_dependency"):
        import_optional("hungry_package", "A test", extra="tea")


def test_pyplot_when_matplotlib_is_absent_names_the_extra_plot(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ImportError, match=r'^A.plot needs matplotlib, .*"skhyperfusion\[plot\]"'):
        import_pyplot("A.plot")


def test_axes_are_those_given_or_of_a_new_figure_of_the_size_asked_for():
    plt = import_pyplot("A.plot")
    figure, given = plt.subplots()
    assert axes_or_new(given, "A.plot", (3, 2)) is given
    new = axes_or_new(None, "A.plot", (3, 2))
    assert new.figure is not figure
    assert new.figure.get_size_inches().tolist() == [3, 2]
    plt.close(figure)
    plt.close(new.figure)
