"""Numbers in sentences: `1 command`, `2 commands`."""


def counted(count: int, one: str, several: str = "") -> str:
    """Return *count* and what is counted, in the number that goes with it.

    Args:
        count: How many there are.
        one: What one of them is called.
        several: What more of them are called, if an "s" does not say it.
    """
    return f"{count} {one}" if count == 1 else f"{count} {several or one + 's'}"
