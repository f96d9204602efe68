"""TFLite files that can't be lifted to torch: networks of one operator, which runs the file in LiteRT."""
