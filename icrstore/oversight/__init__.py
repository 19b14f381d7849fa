"""What an oversight body reads of one tenant: who asked, who was refused, who is owed, what lacks.

The lists are PostgreSQL's, which nobody trusts; beside each stands what the database counts and
what both keepers' logs count (`icrstore.ledger.counts`). Where they differ, something is hidden.

Every list comes in a stable order, from ``skip`` on and at most ``most`` long.
"""
