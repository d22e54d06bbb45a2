"""What finished runs are good for: their images, predictions and networks in other hands."""
