"""The report: one page, whole, readable, without ids or paths, honest about its rows."""

import html
import importlib.util
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from skhyperfusion import (
    HyperFusionClassifier,
    HyperFusionRegressor,
    HyperFusionSurvival,
    ImageLoader,
    TabularPreprocessor,
    survival_target,
)
from skhyperfusion.ensemble import FoldEnsembleClassifier, FoldEnsembleSurvival
from skhyperfusion.inspection import report, site_check

FAST = {"base_channels": 2, "max_epochs": 2, "device": "cpu", "random_state": 0}
QUICK = {"max_rows": 6, "n_attributions": 0, "random_state": 0}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HEADINGS = [
    "Data checks", "Columns", "Network", "Training", "Scores", "Predictions and truth",
    "What images and table contribute", "What each column does", "Where in the images",
    "What the generated weights do", "Methods, for a paper",
]  # fmt: skip


class Page(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def written(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def study_page(study, tmp_path_factory):
    """A report on scans on disk, by a model that was fitted on other rows: (path, X, model)."""
    X, labels, _ = study
    loader = ImageLoader(cache_dir=tmp_path_factory.mktemp("secret-cache"))
    model = HyperFusionClassifier(image_loader=loader, **FAST).fit(X[:24], labels[:24])
    path = tmp_path_factory.mktemp("reports") / "report.html"
    settings = QUICK | {"n_attributions": 2}
    assert report(model, X[24:], labels[24:], path, rows="unseen", **settings) == path
    return path, X, model


def test_page_has_every_section_and_every_figure_an_alternative_text(study_page):
    page = Page(written(study_page[0]))
    for heading in HEADINGS:
        assert heading in page.text
    assert [attrs["id"] for attrs in page.all("section")] == [
        attrs["href"].removeprefix("#") for attrs in page.all("a")
    ]
    figures = page.all("svg")
    assert len(figures) == len(page.all("figcaption")) >= 8
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 20 for attrs in figures)
    assert "Left out" not in page.text
    assert all("aria-label" in attrs for attrs in page.all("div") if attrs.get("class") == "table")


def test_page_needs_nothing_from_elsewhere_and_its_ids_differ(study_page):
    text = written(study_page[0])
    page = Page(text)
    assert not page.all("script")
    assert {tag for tag, _ in page.elements} & {"iframe", "object", "embed"} == set()
    links = [
        attrs[key] for _, attrs in page.elements for key in ("src", "href", "xlink:href") if key in attrs
    ]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in text
    assert any("default-src 'none'" in attrs.get("content", "") for attrs in page.all("meta"))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    asked = [link[1:] for link in links if link.startswith("#")] + re.findall(r"url\(#([^)]+)\)", text)
    assert set(asked) <= set(ids)


def test_page_holds_no_id_and_no_path(study_page):
    path, X, _ = study_page
    text = written(path)
    folder = str(X["scan"].iloc[0]).rpartition("/")[0]
    assert folder not in text
    assert "sub-" not in text
    assert "secret-cache" not in text
    assert str(path.parent) not in text
    shown = Page(text).text
    assert not any(re.search(rf"\b{name}\b", shown) for name in X.index)
    assert "cache_dir" not in shown


def test_page_tells_what_was_done(study_page):
    path, X, model = study_page
    text = Page(written(path)).text
    assert "the model was fitted without these rows" in text
    assert "which were not used to fit it" in text
    assert "trained for 2 epochs with adamw" in text
    assert "base_channels 2" in text
    assert f"{X['age'].iloc[24:].isna().mean():.1%}" in text
    for layer in model.external_layers_:
        assert layer in text
    assert "accuracy" in text
    assert "roc auc" in text
    assert "scikit-learn" in text
    assert "rows 16" in text


@pytest.fixture(scope="module")
def small():
    """24 rows with pictures in the cells, two rows a subject: (X, labels, values, a fitted classifier)."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=24)
    X = pd.DataFrame(
        {
            "picture": list(rng.normal(size=(24, 8, 8))),
            "dose": values + rng.normal(size=24),
            "ward": rng.choice(["north", "south"], 24),
        }
    )
    labels = np.where(values > 0, "<high>", "low")
    model = HyperFusionClassifier(fusion="concat", **FAST).fit(X, labels)
    return X, labels, values, model


def test_rows_are_told_beside_every_score(small, tmp_path):
    X, labels, _, model = small
    for rows, said in {
        "unknown": "It was not said whether the model was fitted on these rows",
        "training": "They are no test scores and must not be reported as such",
        "unseen": "the model was fitted without these rows",
    }.items():
        text = Page(written(report(model, X, labels, tmp_path / "page.html", rows=rows, **QUICK))).text
        assert text.count(said) == 4  # at the top, with scores, predictions and contributions


@pytest.mark.slow
def test_parameters_count(small, tmp_path):
    X, labels, _, model = small
    before, proba = X.copy(), model.predict_proba(X)
    path = tmp_path / "page.html"
    first = written(report(model, X, labels, path, **QUICK))
    assert "Left out, as n_attributions=0 asks." in first
    assert "&lt;high&gt;" in first
    assert "<high>" not in first
    assert "subjects 24" in Page(first).text
    again = written(report(model, X, labels, path, **QUICK))
    assert again == first
    assert written(report(model, X, labels, path, **(QUICK | {"random_state": 1}))) != first
    other = written(
        report(
            model,
            X,
            labels,
            path,
            scoring=["f1_macro", "accuracy"],
            groups=np.repeat(np.arange(12), 2),
            columns=["ward"],
            max_rows=4,
            n_attributions=1,
            title="Wards & doses",
            random_state=0,
        )
    )
    page = Page(other)
    assert "<title>Wards &amp; doses</title>" in other
    assert "f1 macro" in page.text
    assert "roc auc" not in page.text
    assert "subjects 12" in page.text
    captions = [attrs["aria-label"] for attrs in page.all("svg")]
    assert (
        [caption for caption in captions if caption.startswith("Column")]
        == [caption for caption in captions if "Column ward varied" in caption and "4 rows" in caption]
        != []
    )
    assert sum("by integrated gradients" in caption for caption in captions) == 1
    pd.testing.assert_frame_equal(X, before)
    np.testing.assert_array_equal(model.predict_proba(X), proba)


def test_maps_without_captum_say_what_to_install(small, tmp_path, monkeypatch):
    X, labels, _, model = small
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "captum" else find(name))
    page = report(model, X, labels, tmp_path / "page.html", **(QUICK | {"n_attributions": 1}))
    assert 'captum is not installed. Run: pip install "skhyperfusion[explain]"' in html.unescape(
        written(page)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["regressor", "outputs", "survival", "ensemble", "curves", "pipeline"])
def test_every_kind_of_model_has_a_report(small, tmp_path, kind):
    X, labels, values, _ = small
    y = survival_target(np.arange(24) % 3 > 0, np.exp(values))
    model, target, said = {
        "regressor": (HyperFusionRegressor(**FAST), values, "Predictions against true values"),
        "outputs": (HyperFusionRegressor(**FAST), np.c_[values, -values], "Output 2 of 2"),
        "survival": (HyperFusionSurvival(**FAST), y, "Kaplan-Meier"),
        "ensemble": (FoldEnsembleClassifier(HyperFusionClassifier(**FAST), cv=2), labels, "Network 2 of 2"),
        "curves": (FoldEnsembleSurvival(HyperFusionSurvival(**FAST), cv=2), y, "Kaplan-Meier"),
        "pipeline": (
            make_pipeline(TabularPreprocessor(), HyperFusionClassifier(**FAST)), labels, "Confusion matrix",
        ),
    }[kind]  # fmt: skip
    settings = QUICK | {"n_attributions": 1}
    text = written(report(model.fit(X, target), X, target, tmp_path / "page.html", **settings))
    assert said in text
    assert "by integrated gradients" in text


def test_captions_of_several_outputs_are_of_the_one_that_is_drawn(small, tmp_path):
    X, _, values, _ = small
    y = np.c_[values, 1000 + values]
    model = HyperFusionRegressor(**FAST).fit(X, y)
    settings = QUICK | {"n_attributions": 1 if importlib.util.find_spec("captum") else 0}
    captions = Page(written(report(model, X, y, tmp_path / "page.html", **settings))).text
    told = re.findall(r"mean prediction of the first output goes from (\S+) to (\S+);", captions)
    assert told
    assert np.abs(np.array(told, dtype=float)).max() < 10
    if settings["n_attributions"]:
        assert "adds to the prediction of the first output, by integrated gradients" in captions


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["image", "tabular", "film", "late"])
def test_every_fusion_has_a_report(small, tmp_path, fusion):
    X, _, values, _ = small
    model = HyperFusionRegressor(fusion=fusion, **FAST).fit(X, values)
    text = Page(written(report(model, X, values, tmp_path / "page.html", **QUICK))).text
    assert "this network generates no weights from the table" in text


def own_backbone(in_channels, spatial_dims):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.slow
def test_own_backbone_is_explained_and_named_without_its_address(small, tmp_path):
    X, _, values, _ = small
    model = HyperFusionRegressor(backbone=own_backbone, external_layers="backbone.0", **FAST).fit(X, values)
    settings = QUICK | {"n_attributions": 1}
    text = html.unescape(written(report(model, X, values, tmp_path / "page.html", **settings)))
    assert "Left out" not in text
    assert "<function own_backbone>" in text
    found = site_check(model, X, "ward", n_permutations=3, cv=3)
    assert found.n_features == model.embed(X).shape[1]


def test_report_refuses_before_it_computes(small, tmp_path):
    X, labels, values, model = small
    path = tmp_path / "page.html"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent.*Make it first"):
        report(model, X, labels, tmp_path / "absent" / "page.html")
    with pytest.raises(TypeError, match="needs a DataFrame"):
        report(model, X.to_numpy(), labels, path)
    with pytest.raises(TypeError, match="LinearRegression is none of this package"):
        report(LinearRegression().fit(X[["dose"]], values), X, values, path)
    with pytest.raises(ValueError, match="no column 'dosis'; did you mean 'dose'"):
        report(model, X, labels, path, columns=["dosis"])
    with pytest.raises(NotFittedError):
        report(HyperFusionRegressor(), X, values, path)
    for name, value in {
        "rows": "test", "max_rows": 1, "n_attributions": -1, "title": 3, "random_state": "a",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            report(model, X, labels, path, **{name: value})
    assert not path.exists()


def browse(page, folder, width, dark, *arguments):
    """Open a page in a headless browser: (what it prints, what it complains of)."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--hide-scrollbars",
        f"--window-size={width},2400", *scheme, *arguments, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [420, 1200])
def test_browser_shows_the_page_without_complaint_or_overflow(study_page, tmp_path, width, dark):
    path, _, _ = study_page
    shot = tmp_path / "shot.png"
    _, complaints = browse(path, tmp_path, width, dark, f"--screenshot={shot}")
    assert not complaints
    corner = np.asarray(Image.open(shot).convert("L"))[5, 5]
    assert corner < 60 if dark else corner > 200
    # A copy that may run a script tells whether anything is wider than the window.
    measure = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", written(path))
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", f"{measure}</body>"), encoding="utf-8")
    dom, complaints = browse(copy, tmp_path, width, dark, "--dump-dom")
    assert not complaints
    needed, there = map(int, re.search(r"<title>(\d+) of (\d+)</title>", dom).groups())
    assert needed <= there
