from tests.keeper.pairs import own_pair, pair, template

__all__ = ["own_pair", "pair", "template"]
