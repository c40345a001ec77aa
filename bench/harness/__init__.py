"""What benchmarks share: figures with their conditions, a hub process, filled registries, and watchers."""
