"""How the documentation is built: `make docs`, offline, with every warning an error."""

import re
import sys
from pathlib import Path

import matplotlib

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
matplotlib.use("Agg")

import skhyperfusion  # noqa: E402

project = "skhyperfusion"
author = "the skhyperfusion developers"
copyright = f"2026, {author}"
release = version = skhyperfusion.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "_mathml",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**/sg_execution_times.rst", "sg_execution_times.rst"]
default_role = "py:obj"

html_theme = "furo"
html_title = f"skhyperfusion {release}"
html_show_sphinx = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["house.css"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {
    "members": True,
    # Stop where other packages' classes begin: their methods are documented there.
    "inherited-members": ", ".join(
        ["BaseEstimator", "ClassifierMixin", "RegressorMixin", "TransformerMixin", "VotingClassifier"]
        + ["BaseCrossValidator", "Module", "DataFrame", "KeyboardInterrupt", "RuntimeError"]
    ),
}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Shapes"]

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"demo\.py",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 1,
    "capture_repr": ("_repr_html_", "__repr__"),
    "copyfile_regex": r"GALLERY_HEADER\.rst",
}

# (B, C, *S) in a docstring is a shape, and no emphasis that someone forgot to close; a line that begins
# with "T." speaks of the letter, and begins no list.
_SHAPE_STAR = re.compile(r"(?<![*\w`\\])\*(?=[A-Za-z_]+(?![\w*]))")
_LETTER = re.compile(r"^(\s*[A-Z])\.(?=\s|$)")


def _escape_letters(app, what, name, obj, options, lines):
    in_code = False
    for i, line in enumerate(lines):
        if not line.strip():
            in_code = False
        in_code = in_code or line.lstrip().startswith((">>>", "::"))
        if not in_code:
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [_SHAPE_STAR.sub(r"\\*", part) for part in parts[::2]]
            lines[i] = _LETTER.sub(r"\1\\.", "".join(parts))


def _skip_elsewhere(app, what, name, obj, skip, options):
    """Leave out what is documented elsewhere.

    That is what other packages' classes give to ours (its text refers to their own pages), and properties
    such as ``module_``, which stand among the attributes.
    """
    defined_in = getattr(getattr(obj, "fget", obj), "__module__", None) or ""
    elsewhere = defined_in.startswith("sklearn.") or re.fullmatch(
        r"set_\w+_request|get_metadata_routing|extra_repr|add_note|with_traceback", name
    )
    return True if elsewhere or (isinstance(obj, property) and name.endswith("_")) else skip


def setup(app):
    app.connect("autodoc-process-docstring", _escape_letters, priority=1)
    app.connect("autodoc-skip-member", _skip_elsewhere)
