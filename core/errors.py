"""Errors for operators: a problem and its remedy, one line."""


def first_line(error: BaseException, otherwise: str = "") -> str:
    """What a library said, in one line; `otherwise` where it said nothing."""
    return (str(error).strip().splitlines() or [otherwise])[0]


class SlipwayError(Exception):
    """SlipwayError(problem, remedy). `exit_code`: 1 the thing failed, 2 wrong usage, 3 could not be carried out."""

    exit_code = 3

    def __str__(self) -> str:
        return "; ".join(self.args)


class Refused(SlipwayError):
    """The actor may not do this, or not to these objects."""


class WrongInput(SlipwayError):
    """What was handed in cannot be used; nothing was changed."""

    exit_code = 2
