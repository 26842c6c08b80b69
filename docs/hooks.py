"""What mkdocs does besides: pages of the repository outside `docs/` that the documentation links to join the site.

In the repository a link such as `../benchmarks/README.md` leads to the file. On the site that file is a page below
`repository/`, and the link is rewritten. Of a link to a script or a folder the text is left.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = "repository"
_KINDS = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "benchmarks/**/*.md",
    "benchmarks/**/*.png",
    "pretrained/**/*.md",
    "export/**/*.md",
    "requirements/*.md",
)
_LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)((?:#[^)\s]*)?)\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the repository's pages to the site."""
    for kind in _KINDS:
        for path in sorted(ROOT.glob(kind)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, f"{OUTSIDE}/{name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Rewrite links that lead from `docs/` to the rest of the repository, or back."""
    here: str = page.file.src_uri
    in_repository = here.removeprefix(f"{OUTSIDE}/") if here.startswith(f"{OUTSIDE}/") else f"docs/{here}"

    def rewritten(link: re.Match[str]) -> str:
        text, to, anchor = link.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), to))
        on_site = target.removeprefix("docs/") if target.startswith("docs/") else f"{OUTSIDE}/{target}"
        if files.get_file_from_path(on_site) is not None:
            relative = os.path.relpath(on_site, posixpath.dirname(here) or ".").replace(os.sep, "/")
            return f"[{text}]({relative}{anchor})"
        return text if (ROOT / target).exists() else link[0]  # mkdocs names a link that leads nowhere

    return _LINK.sub(rewritten, markdown)
