"""What there is to compute on: cores, GPUs, memory, and how long a search will take on them."""
