"""Reading a page again: what its tables and paragraphs say, to be held against the counts."""

from html.parser import HTMLParser


class PageText(HTMLParser):
    """The rows of all tables of a page, and the lines of its paragraphs, as a reader sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.lines: list[str] = []
        self._open = ""  # the tag whose text is being read
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a row, a cell, a paragraph or a line of one."""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows = self.rows or [["a cell without a row"]]
            self.rows[-1].append("")
            self._open = "cell"
        elif tag in ("p", "br"):
            self.lines.append("")
            self._open = "line"

    def handle_endtag(self, tag: str) -> None:
        """End a cell or a paragraph."""
        if tag in ("td", "th", "p"):
            self._open = ""

    def handle_data(self, data: str) -> None:
        """Take what stands in a cell or in a paragraph."""
        if self._open == "cell":
            self.rows[-1][-1] += data
        elif self._open == "line":
            self.lines[-1] += data
