"""Find images that are copies of others: of a target's test images, or of images of the same dataset."""
