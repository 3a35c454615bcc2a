"""A browser, for the built pages."""

from tests.browsing import browser

__all__ = ["browser"]  # a fixture
