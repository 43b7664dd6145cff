"""A page in one file: text, tables and figures that need nothing from elsewhere."""

import html
import io
import re

from skhyperfusion._optional import import_optional

# Text and axes of a figure have this colour, which the page replaces by that of its own text.
_INK = "#010203"
# What is black, dark or light grey in a display has to be seen on a light page and on a dark one.
_COLOURS = {_INK: "currentColor", "#000000": "currentColor", "#4c4c4c": "#808080", "#b3b3b3": "#8f959e"}
_STYLE = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and read out
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.framealpha": 0,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

_CSS = """
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #ffffff; --faint: #60666f; --line: #d9dce1;
  --note: #eef3fb; --warn: #fdf1dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #15171b; --faint: #9aa2ad;
  --line: #363b43; --note: #1d2735; --warn: #372b14; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p, ul { max-width: 46rem; }
nav ul { columns: 14rem; padding-left: 1.1rem; }
a { color: inherit; }
.faint, figcaption { color: var(--faint); font-size: .88rem; max-width: 46rem; }
.note, .warn { padding: .6rem .9rem; border-radius: .4rem; background: var(--note); }
.warn { background: var(--warn); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0 0 .6rem; max-width: 100%; }
.figures > figure { flex: 0 1 29rem; }
figure svg { max-width: 100%; height: auto; display: block; }
.table { overflow-x: auto; max-width: 100%; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #444; --line: #bbb;
  --note: #f3f3f3; --warn: #f3f3f3; } body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; } h2 { break-after: avoid; } figure, tr, .note, .warn { break-inside: avoid; }
  .table { overflow: visible; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<header><h1>{title}</h1>{lead}</header>
<nav aria-label="Contents"><ul>{contents}</ul></nav>
<main>
{sections}
</main>
</body>
</html>
"""


def page(title, lead, sections):
    """Return a page: HTML of the lead, and of each section by its heading."""
    names = {heading: re.sub(r"[^a-z]+", "-", heading.lower()).strip("-") for heading in sections}
    contents = "".join(
        f'<li><a href="#{name}">{html.escape(heading)}</a></li>' for heading, name in names.items()
    )
    parts = "\n".join(
        f'<section id="{names[heading]}" aria-labelledby="h-{names[heading]}">\n'
        f'<h2 id="h-{names[heading]}">{html.escape(heading)}</h2>\n{text}\n</section>'
        for heading, text in sections.items()
    )
    return _PAGE.format(title=html.escape(title), css=_CSS, lead=lead, contents=contents, sections=parts)


def paragraph(text, kind=""):
    """Return a paragraph of plain text; `kind`: "", "faint", "note" or "warn"."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{html.escape(text)}</p>"


def table(header, rows, label):
    """Return a table of plain texts; `label` tells a screen reader what it is."""
    head = "".join(f'<th scope="col">{html.escape(str(cell))}</th>' for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{html.escape(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


class Figures:
    """Draws figures that take on the page's colours.

    Attributes
    ----------
    n_drawn : int
        So many so far; their ids differ by it.
    """

    def __init__(self):
        self.n_drawn = 0

    def draw(self, plot, caption, *, size=(4.7, 3.1)):
        """Return a figure as inline SVG.

        Parameters
        ----------
        plot : callable
            Gets a figure, and draws into it.
        caption : str
            What is to be seen: below the figure, and for those who do not see it.
        size : tuple of float, default=(4.7, 3.1)
            Inches.
        """
        self.n_drawn += 1
        matplotlib = import_optional("matplotlib", "report", extra="plot")
        figures = import_optional("matplotlib.figure", "report", extra="plot")
        with matplotlib.rc_context(_STYLE | {"svg.hashsalt": f"figure {self.n_drawn}"}):
            figure = figures.Figure(figsize=size, layout="constrained")
            plot(figure)
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        svg = file.getvalue()
        svg = svg[svg.index("<svg ") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        asked = set(re.findall(r"#([A-Za-z0-9._]+)[)\"]", svg))
        svg = re.sub(r' id="([^"]*)"', lambda found: found.group() if found.group(1) in asked else "", svg)
        for colour, on_page in _COLOURS.items():
            svg = svg.replace(colour, on_page)
        text = html.escape(caption, quote=True)
        svg = svg.replace("<svg ", f'<svg role="img" aria-label="{text}" ', 1)
        return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def side_by_side(figures):
    """Return figures beside each other where there is room, below each other where not."""
    return f'<div class="figures">{"".join(figures)}</div>'
