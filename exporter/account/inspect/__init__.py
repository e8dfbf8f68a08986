"""``inspect``: what one name, ID or path stands for, and the whole way from repository to image to each layer."""
