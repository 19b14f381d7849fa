"""icrstore: a retention service for Internet Connection Records that everyone can check."""
