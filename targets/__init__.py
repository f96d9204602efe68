"""Files on devices: boards, what runs an exported file on each, and what was measured. Knows files, never models."""
