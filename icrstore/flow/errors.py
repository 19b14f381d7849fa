"""What the flow room refuses; no message carries anything from a record."""


class FlowRefused(Exception):
    """The input is refused whole."""


class BatchRefused(FlowRefused):
    """The batch has not the columns of a record."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


class FormatRefused(FlowRefused):
    """The input is in no format that icrstore reads."""


class TooManyLines(FlowRefused):
    """The text has more lines than its reader was to look at."""
