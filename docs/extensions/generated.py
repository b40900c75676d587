"""The base of the directives that write a part of a page as Markdown."""

from __future__ import annotations

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Generated(SphinxDirective):
    """Puts the Markdown that :meth:`write` returns in the place of the directive; its headings begin with ``##``."""

    def write(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page depends on more than its own text
        # MyST adds the sections of a parsed text to the page itself, and what stands before the first one to ``found``.
        page, found = self.state_machine.node, nodes.Element()
        place = len(page)
        found.document = self.state.document
        self.state.nested_parse(self.write().splitlines(), 0, found, match_titles=True)
        if len(page) == place:
            return found.children
        page[place:place] = found.children
        return []
