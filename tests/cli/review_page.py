"""The page of `clinfed review` in a browser."""

from collections.abc import Callable
from typing import Any


class Page:
    """The page in a browser; what it does after a request is waited for."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        for kind in ("browser", "performance"):
            browser.get_log(kind)  # what earlier pages have left there
        browser.get(url)
        self.until(lambda: self.texts("#name") not in ([], [""]))

    def until(self, holds: Callable[[], bool]) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 20, poll_frequency=0.05).until(lambda _: holds())

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        return list(self.browser.execute_script(script, selector))

    def press(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    def ids(self) -> list[str]:
        return [text[-1] for text in self.texts("[role=option] > span:first-child")]

    def note_is(self, number: int) -> None:
        self.until(lambda: self.texts("#name")[0].startswith(f"canarynote-{number} "))
