"""Other stores that take the same records in the same run, each load in a process of its own.

So what one takes of CPU and memory is its own, and what it does to its process harms nobody.
`tests.bench.peers.job` says what is handed over; each module says in its first lines what its
settings are and why they are fair.
"""
