from tests.keeper.pair import own_pair, pair, still_pair, template

__all__ = ["own_pair", "pair", "still_pair", "template"]
