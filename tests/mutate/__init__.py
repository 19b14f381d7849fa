"""Mutations: the product with one named check taken out must turn a named test red."""
