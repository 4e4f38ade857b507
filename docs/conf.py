"""Sphinx configuration: `nox -s docs` builds the site, with warnings as errors."""

import os
from importlib.metadata import version as version_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "digits-edge"
copyright = "2026, the digits-edge developers"
version = release = version_of("digits-edge")
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"digits-edge {release}"
html_static_path: list[str] = []
html_theme_options = {
    "source_repository": "https://github.com/digits-edge/digits-edge/",
    "source_branch": "main",
    "source_directory": "docs/",
}
