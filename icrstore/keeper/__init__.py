"""A keeper of one role: lends key shares, and only for what its own log and its peer's log hold.

Life of a question: an engine brings a request and the warrant above it (`commit`); each keeper
checks them by itself, logs a leaf per selector and fixes the list of epochs. The engine carries
each keeper's checkpoint to the other, which cosigns it (`witness`). Against both cosigned proofs
a keeper logs a release (`release`); against its own cosigned release it lends shares (`lend`).
What the answer names is logged before the answer leaves the engine (`disclosure`).

Why: nothing can be opened without a leaf in two logs that neither the provider nor the state can
rewrite alone. A keeper never calls out, trusts no clock but its own, and pins nothing but roots.
"""
