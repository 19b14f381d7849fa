"""The commands of ``icr-collect``, a module each: `add` says how it is called, and what runs."""
