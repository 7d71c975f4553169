"""Errors for operators: one line with a problem and its remedy."""


def first_line(error: BaseException, default: str = "") -> str:
    """Return the first line of the error's message, or `default` if it has none."""
    return (str(error).strip().splitlines() or [default])[0]


class SlipwayError(Exception):
    """An error with a problem and a remedy, raised as SlipwayError(problem, remedy).

    `exit_code` is the exit code of the command that fails with it: 1 if the object of the command failed, 2 for wrong
    usage, 3 if the command could not be carried out.
    """

    exit_code = 3

    def __str__(self) -> str:
        return "; ".join(self.args)


class Refused(SlipwayError):
    """The actor may not do this, or the objects do not allow it."""


class Taken(SlipwayError):
    """The name or the table is taken: another module registered it."""


class WrongInput(SlipwayError):
    """The input cannot be used; nothing was changed."""

    exit_code = 2
