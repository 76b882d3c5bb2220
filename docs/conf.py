"""Sphinx settings: one site of README, docs/, specs/ and the docstrings.

The source folder is the root of the tree, so that links between those files are
right on a hosting site and here.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reference

from e820pool import __version__

# Annotations name types that modules import for type checkers only.
reference.import_with_types()

project = "e820pool"
author = "e820pool maintainers"
project_copyright = "e820pool maintainers, MIT licence"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "docs/api/*.md",
    "docs/api/*.rst",
    "specs/*.md",
    "tests/README.md",
]
# Folders that a walk of the tree need not look into.
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "e820pool",
    "tests/[a-z]*",
]

# Headings down to the ids of findings can be linked to.
myst_heading_anchors = 4
# A page that begins below its first level (a changelog) is no mistake.
# Nor is a name, like Row, that several modules have: a link to one of them is left out.
suppress_warnings = ["myst.header", "ref.python"]

# A page's side bar lists its modules; their names are found by the search.
toc_object_entries = False
# Pictures are no program.
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_rtype = False
napoleon_use_ivar = True

# Every name of the package must be found; what others own has no page here, nor have
# private names and type variables.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!e820pool\b).*|.*\.(T|_\w+)")]

man_pages = [
    (
        "docs/commands",
        "e820pool",
        "hand deposited memory to the next kernel as E820_TYPE_RESERVED",
        "",
        1,
    )
]

html_theme = "furo"
html_title = f"e820pool {__version__}"
html_show_sourcelink = False
html_copy_source = False
html_extra_path = ["_root"]
