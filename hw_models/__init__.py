"""What hardware would do: pipelines and their executors, memory, energy and accelerators."""
