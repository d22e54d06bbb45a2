"""`chimeramix evaluate`: what a trained generator's images are worth, and how near they are to those it has seen."""
