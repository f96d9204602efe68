"""What a recipe will give, known in seconds: its passes without their training, and the real files."""
