"""Pages for people: plain HTML, one stylesheet, no script, and headers that allow nothing else."""
