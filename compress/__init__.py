"""Shrink trained networks, export them and measure the exported files."""
