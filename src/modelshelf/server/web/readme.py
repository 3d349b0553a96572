"""A repository's README as HTML that can do nothing: strangers wrote it."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "em", "strong", "b", "i"),
    *("del", "sub", "sup", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a", "details", "summary"),
}
_DROPPED = {"script", "style", "template", "iframe", "object", "svg", "math"}
"""Elements that go with what is in them."""
_MOST_CHARACTERS = 50_000
"""So much is rendered: twice as many brackets that nothing closes take four times as long."""
_KEPT = 32


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def card_html(markdown: str) -> str:
    """Return a README as HTML without scripts, styles, images and ids; its links lead away, without a referrer.

    A long one ends early, with an ellipsis.

    >>> card_html("# A <b onclick=x()>model</b><script>alert(1)</script>")
    '<h3>A <b>model</b></h3>\\n'
    """
    shown = _without_front_matter(markdown)
    return _rendered(shown if len(shown) <= _MOST_CHARACTERS else shown[:_MOST_CHARACTERS] + "…")


@lru_cache(_KEPT)
def _rendered(markdown: str) -> str:
    import nh3

    html = _parser().render(markdown)
    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROPPED,
        attributes={"a": {"href", "title"}, "td": {"align"}, "th": {"align"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return _lower_headings(clean)


def _without_front_matter(markdown: str) -> str:
    if not markdown.startswith("---\n"):
        return markdown
    _, found, behind = markdown[4:].partition("\n---")
    return behind.partition("\n")[2] if found else markdown


def _lower_headings(html: str) -> str:
    """Return it with headings below the page's own."""
    for level in range(4, 0, -1):
        html = html.replace(f"<h{level}>", f"<h{level + 2}>").replace(f"</h{level}>", f"</h{level + 2}>")
    return html
