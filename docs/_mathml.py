"""Formulas as MathML, which browsers draw by themselves: no script comes from another network."""

import latex2mathml.converter
from docutils.nodes import SkipNode


def write_inline(translator, node):
    """Write a formula inside a line."""
    translator.body.append(latex2mathml.converter.convert(node.astext()))
    raise SkipNode


def write_block(translator, node):
    """Write a formula on a line of its own, with the label that links lead to."""
    anchor = f' id="equation-{node["label"]}"' if node.get("label") else ""
    formula = latex2mathml.converter.convert(node.astext(), display="block")
    translator.body.append(f'<div class="math"{anchor}>{formula}</div>')
    raise SkipNode


def setup(app):
    """Register the renderer under the name that conf.py chooses."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
