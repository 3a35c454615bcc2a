"""Reading a page again: what its tables and its verdict say, to be held against the counts."""

from html.parser import HTMLParser


class PageText(HTMLParser):
    """The rows of all tables of a page, and its verdict, as a reader sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.verdict = ""
        self._in_cell = self._in_verdict = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a row, a cell or the verdict."""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True
        elif ("class", "verdict") in attrs:
            self._in_verdict = True

    def handle_endtag(self, tag: str) -> None:
        """End a cell or the verdict."""
        if tag in ("td", "th"):
            self._in_cell = False
        elif tag == "p":
            self._in_verdict = False

    def handle_data(self, data: str) -> None:
        """Take what stands in a cell or in the verdict."""
        if self._in_cell:
            self.rows[-1][-1] += data
        elif self._in_verdict:
            self.verdict += data
