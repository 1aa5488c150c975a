"""Sentences for logs and terminals: numbers in them, and what others have said."""

NOT_OBTAINED = "the credentials could not be obtained"
"""What is told where a credential provider fails: nothing in its error is Redis' word."""


def counted(count: int, one: str, several: str = "") -> str:
    """Return *count* and what is counted, in the number that goes with it.

    Args:
        count: How many there are.
        one: What one of them is called.
        several: What more of them are called, if an "s" does not say it.
    """
    return f"{count} {one}" if count == 1 else f"{count} {several or one + 's'}"


def one_line(text: str) -> str:
    r"""Return *text* with what is no printable character written as Python does, such as `\n`.

    What a server or an exception says may hold line breaks, which would begin a line that
    nobody wrote, and a terminal's commands.
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
