"""How Sphinx makes the user guide of these files. Nothing is looked up in the network."""

import klfast

project = "klfast"
author = "The klfast developers"
copyright = author
version = release = klfast.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc"]
nitpicky = True
default_role = "autolink"  # in docstrings, `name` is a link wherever there is such a function
add_module_names = False
autodoc_typehints = "none"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"klfast {release}"
html_copy_source = False


def escape_bars(app, what, name, obj, options, lines):
    """D(p || q) and |p - q| are mathematics, and not what reStructuredText makes of bars. Examples stay as they are."""
    is_example = False
    for place, line in enumerate(lines):
        is_example = line.lstrip().startswith(">>>") or (is_example and bool(line.strip()))
        if not is_example:
            lines[place] = line.replace("|", r"\|")


def setup(app):
    app.connect("autodoc-process-docstring", escape_bars, priority=1)  # before numpydoc
