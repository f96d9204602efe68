"""Microcontrollers: compiles to C, builds firmware, runs it."""
