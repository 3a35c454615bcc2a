"""What a run costs: parameters, seconds, memory, throughput. The same functions in simulation, at sites, in plain loops."""
