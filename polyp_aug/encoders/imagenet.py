"""What pictures of ImageNet look like: networks trained on them expect it."""

#: Mean and standard deviation of R, G and B in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
