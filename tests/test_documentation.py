"""What the documentation says, run: the README's lines, and every example of the pages."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import skhyperfusion

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(path):
    return BLOCK.findall(path.read_text(encoding="utf-8"))


NUMBER = re.compile(r"-?\d+\.\d*|-?\.\d+")
ABOUT = doctest.register_optionflag("ABOUT")  # in a page: # doctest: +ABOUT, which the site does not show


class Figures(doctest.OutputChecker):
    """Takes decimal numbers as told where they are by two of their last digit at most.

    What a network of a page reaches differs a little between processors, which add up in another order;
    what it reaches after many steps differs more: with ABOUT, a fourth of the number, or of 1, is granted.
    """

    def check_output(self, want, got, optionflags):
        return super().check_output(want, self._as_told(want, got, optionflags & ABOUT), optionflags & ~ABOUT)

    def _as_told(self, want, got, about):
        told, found = NUMBER.findall(want), NUMBER.findall(got)
        if len(told) != len(found):
            return got
        near = iter([a if self._is_near(a, b, about) else b for a, b in zip(told, found, strict=True)])
        return NUMBER.sub(lambda _: next(near), got)

    @staticmethod
    def _is_near(told, found, about):
        n_digits = max(1, *(len(text.partition(".")[2]) for text in (told, found)))  # NumPy drops zeros
        granted = max(1, abs(float(told))) / 4 if about else 2.01 * 10**-n_digits
        return abs(float(told) - float(found)) <= granted


@pytest.mark.parametrize(
    ("want", "got", "agree"),
    [
        ("0.71 of 12", "0.73 of 12", True),
        ("0.71 of 12", "0.74 of 12", False),
        ("0.71 of 12", "0.71 of 13", False),
        ("[1., 2.]", "[1., 3.]", False),
        ("a  0.5\nb -1.25", "a 0.5\nb -1.26", True),
        ("0.5 ... 0.7", "0.5 0.6 0.7", True),
        ("0.5 ... 0.7", "0.5 0.6 0.8", False),
    ],
)
def test_figures_may_differ_in_their_last_digit_alone(want, got, agree):
    assert Figures().check_output(want, got, OPTIONS) == agree


@pytest.mark.parametrize(
    ("got", "agree"),
    [("11.9 years of 40", True), ("12.6 years of 40", False), ("11.9 years of 41", False), ("11.9", False)],
)
def test_figures_when_about_may_differ_by_a_fourth(got, agree):
    assert Figures().check_output("10.0 years of 40", got, OPTIONS | ABOUT) == agree


def session(path):
    """Blocks of a page are one session, as the reader sees them."""
    return "\n".join(block for block in blocks(path) if ">>>" in block)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in PAGES if session(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_page_when_its_examples_run_shows_what_they_print(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = path.relative_to(ROOT).as_posix()
    examples = doctest.DocTestParser().get_doctest(session(path), {}, name, name, 0)
    report = []
    result = doctest.DocTestRunner(Figures(), optionflags=OPTIONS).run(examples, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)


@pytest.mark.slow
def test_readme_when_its_lines_run_prints_scores(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md")
    # All of it but the length of the training, which takes minutes.
    assert '"max_epochs": 20' in code
    exec(compile(code.replace('"max_epochs": 20', '"max_epochs": 1'), "README.md", "exec"), {})
    printed = capsys.readouterr().out
    for method in ["hyper", "concat", "image", "tabular", "components + table, ridge"]:
        assert re.search(rf"^{re.escape(method)} +[\d.]+ ", printed, re.MULTILINE)


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_when_they_lead_to_files_find_them(path):
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert not missing


def public_modules():
    names = [module.name for module in pkgutil.iter_modules(skhyperfusion.__path__)]
    return [skhyperfusion] + [
        importlib.import_module(f"skhyperfusion.{name}") for name in names if not name.startswith("_")
    ]


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_reference_when_a_name_is_public_documents_it(module):
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.rst"))
    documented = {
        name.rpartition(".")[2] for name in re.findall(r"^\.\. auto\w+:: (\S+)", pages, re.MULTILINE)
    }
    assert set(module.__all__) <= documented
