"""Checks of the options of `VideoData`."""


def at_least(lowest: int, **options: int | None) -> None:
    """Raise ValueError if an option is lower; None is allowed."""
    for name, value in options.items():
        if value is not None and value < lowest:
            raise ValueError(f"data.{name}: expected at least {lowest}, got {value}")


def positive(**options: float | None) -> None:
    """Raise ValueError if an option is not above 0; None is allowed."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise ValueError(f"data.{name}: expected a positive number, got {value}")
