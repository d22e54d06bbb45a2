"""What finished runs are good for: predictions for any images, files for other programs, and composed images."""
