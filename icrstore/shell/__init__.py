"""What the programs that people run have in common: key files, signed calls, how they end."""
