"""What exporters share: getting a graph ready for a format, and a file that is written whole or not at all."""
