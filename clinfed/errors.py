"""The one exception for a user's mistake: a single line that never holds a word of a note."""


class UserError(Exception):
    """A mistake of the user: where, what was found, what was expected, what to do; exit code 2, without traceback."""
