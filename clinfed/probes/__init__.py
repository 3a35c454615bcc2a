"""What a run costs: parameters, seconds, memory, throughput. One set of functions for simulations, sites and loops."""
