"""Real kernels: their images, a machine to boot them in, what they touch."""
