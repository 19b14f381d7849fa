"""Every reader against bytes that nobody meant: it may refuse them, and may not crash or hang."""
