"""Settings of the documentation site, which `make docs` builds into build/docs without a network."""

import re
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # docstrings.py, and the packages of this checkout

import docstrings  # noqa: E402 - after the path that leads to it

from configs import discovery  # noqa: E402 - likewise

project = "clinfed"
author = "the authors of clinfed"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "clinfed"
html_static_path = ["_static"]
html_css_files = ["clinfed.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}


def link_repository_files(app: "Sphinx", docname: str, source: list[str]) -> None:
    """Let a link to a file outside of docs/ lead to a copy of it, for the built pages stand alone."""
    folder = (app.srcdir / docname).parent

    def linked(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        return f"](path:{match[1]})" if target.is_file() and not target.is_relative_to(HERE) else match[0]

    source[0] = re.sub(r"\]\(((?:\.\./)+[^)#\s]+)\)", linked, source[0])


def list_options(app: "Sphinx", docname: str, source: list[str]) -> None:
    """Add the options of every group to the page of settings, as they are found in their folders."""
    if docname != "reference/settings":
        return
    for group in discovery.PLUGINS:
        source[0] += f"\n## {group}=\n"
        for option in discovery.options(group):
            made = discovery.plugin_class(group, option)
            source[0] += (
                f"\n### {group}={option}\n\n```{{eval-rst}}\n.. autoclass:: {made.__module__}.{made.__name__}\n"
            )
            source[0] += "   :no-index:\n   :no-members:\n```\n"


def write_signature(
    app: "Sphinx", what: str, name: str, owner: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Leave out the fields of a dataclass, which are listed below its docstring."""
    return ("", None) if what == "class" and is_dataclass(owner) else (signature, returned)


def write_docstring(app: "Sphinx", what: str, name: str, owner: Any, options: Any, lines: list[str]) -> None:
    """Put a docstring, and a dataclass's settings, in the form that Sphinx reads."""
    lines[:] = docstrings.restructured(lines) if lines else []
    if what == "class":
        lines += docstrings.settings_of(owner)


def setup(app: "Sphinx") -> None:
    """Join these to the build."""
    app.connect("source-read", link_repository_files)
    app.connect("source-read", list_options)
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-docstring", write_docstring)
