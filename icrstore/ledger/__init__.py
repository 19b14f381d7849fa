"""The keepers' logs as anyone may read them: copies, made by who may call keepers, served by web.

Life of a copy: the notifier takes a log's new leaves, builds the tree by itself and finds the root
that the log signed (`copy`); web hands out checkpoint, tiles and bundles (`serve`), and counts for
oversight what the leaves are (`counts`).

Why: web reaches no keeper and must not. Nothing here needs to be trusted: a copy that was altered
does not lead to the signed root, and one that is behind shows an old cosignature.
"""
