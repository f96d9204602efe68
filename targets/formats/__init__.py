"""Readers of exported files: what goes in and comes out of each."""
