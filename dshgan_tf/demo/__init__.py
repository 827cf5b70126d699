"""The page of `dshgan demo`: an index in the browser, without TensorFlow and without the network."""
