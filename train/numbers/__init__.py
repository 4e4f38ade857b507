"""Lines of handwritten numbers, made for training, and the network that reads them."""
