"""What a run costs: parameters and memory. One set of functions for simulations, sites and loops."""
