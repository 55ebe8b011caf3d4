"""Coverage-guided fuzzing of both ends of the dispenser's wire, and what it has found."""
