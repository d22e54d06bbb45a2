"""The loop, the two trainings it runs, and what they write."""
