"""What finished runs are good for: predictions for any images, and files for other programs."""
