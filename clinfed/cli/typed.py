"""What was typed where argparse expects something else: settings with dashes, and options between settings."""

from collections.abc import Sequence

import configs
from clinfed.errors import UserError
from configs.mistakes import same


def rest_of_overrides(unknown: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return what argparse left of the overrides where options stand between them.

    Raises: UserError for an option that is none, with the override that was probably meant.
    """
    for word in unknown:
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            following = "" if equals else next(iter(argv[argv.index(word) + 1 :]), "")
            if not equals and following and not following.startswith("-") and "=" not in following:
                value = following
            key = _key(name)
            advice = f"settings have no dashes before them: write {key}={value or 'VALUE'}"
            raise UserError(f"{word}: no such option; {advice if key else f'see clinfed {argv[0]} --help'}")
    return list(unknown)


def _key(name: str) -> str:
    """Return the setting that a word with dashes names, "" where it names none."""
    key = name.replace("-", "_").lower()
    known = configs.keys(configs.resolved(configs.load()))
    return key if key in known or "." in key else next(iter(same(key, known)), "")
