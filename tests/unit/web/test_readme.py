"""A stranger's README can do nothing to who looks at it."""

from __future__ import annotations

import re

import pytest

from modelshelf.server.web.readme import card_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "<svg onload=alert(1)><circle/></svg>",
    "<iframe src='https://evil.example'></iframe>",
    "<p style='position:fixed;inset:0'>x</p>",
    "<form action='https://evil.example'><input name=a></form>",
    "<base href='https://evil.example'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<style>@import 'https://evil.example'</style>",
    "<p id=main class=btn onclick=alert(1) hx-get='/remove' data-copy=x>x</p>",
    "![x](https://evil.example/track.png)",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "`<script>`",
]


@pytest.mark.parametrize("markdown", HOSTILE)
def test_nothing_of_a_hostile_readme_runs_or_loads(markdown: str) -> None:
    """Scripts, styles, handlers, images, forms and frames of a README are gone."""
    html = card_html(markdown)

    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", html))
    assert not tags & {"script", "style", "img", "svg", "iframe", "form", "input", "base", "meta", "math", "link"}
    assert not re.search(r"<[^>]*\s(?:on\w+|style|id|class|hx-[\w-]+|data-[\w-]+|src)\s*=", html)
    assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', html))


def test_what_authors_write_is_kept() -> None:
    """Headings, tables, code and links of a README are shown, below the page's own headings, without front matter."""
    html = card_html("---\nlicense: mit\n---\n# Title\n\n| a |\n|---|\n| 1 |\n\n[hub](https://huggingface.co) `x`\n")

    assert "<h3>Title</h3>" in html
    assert "<td>1</td>" in html
    assert '<a href="https://huggingface.co" rel="noopener noreferrer nofollow">hub</a>' in html
    assert "license" not in html


def test_a_long_readme_ends_early_and_is_rendered_once() -> None:
    """Of a README only the beginning is rendered, and only once, because hostile text takes long."""
    long = "[" * 1_000 + "word " * 40_000
    html = card_html(long)

    assert html.endswith("…</p>\n")
    assert len(html) < 51_000
    assert card_html(long) is html
