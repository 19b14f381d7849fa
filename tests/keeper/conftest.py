from tests.keeper.pair import own_pair, pair, template

__all__ = ["own_pair", "pair", "template"]
