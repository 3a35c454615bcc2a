"""What a user is told of a mistake, or of a doubtful choice: a single line that never holds a word of a note."""


class UserError(Exception):
    """A mistake of the user: where, what was found, what was expected, what to do; exit code 2, without traceback."""


class DivergedError(UserError):
    """Training has left the numbers that can be computed with: a loss or a weight is not finite, or beyond all use."""


class AdviceWarning(UserWarning):
    """A setting that can be had, but is hardly meant: what is wrong with it, and what to set instead."""
