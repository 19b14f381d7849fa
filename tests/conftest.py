"""What every room's tests may ask for."""

from tests.stack import stack

__all__ = ["stack"]
