from tests.api.web import edge, web

__all__ = ["edge", "web"]
