"""Networks whose features compare sets of pictures, one file each; EfficientNet-Lite0 stands in `features`."""
