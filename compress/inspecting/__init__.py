"""What a file holds and what can be done with it, found by trying; no code that lies in the file is run."""
