"""What every room's tests may ask for."""

from tests.site import site
from tests.stack import stack

__all__ = ["site", "stack"]
