"""Images: converting, resizing, decoding, batching, augmenting, drawing."""
