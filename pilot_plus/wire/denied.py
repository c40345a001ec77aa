"""How joining fails for good."""


class Denied(Exception):  # noqa: N818 - an answer of the domain, not a programming error
    """No: the hub doesn't admit the joiner, or the joiner doesn't believe the hub. One line for people, no secrets.

    Trying the same again doesn't help. A hub that can't be reached is a `ConnectionError` instead.
    """
