"""Sweep: a design space of models, sparsity patterns and accelerators, evaluated point by point.

| module       | holds                                                                             |
|--------------|-----------------------------------------------------------------------------------|
| `study`      | what is asked for, read from YAML                                                 |
| `axis`       | the values of what is varied                                                      |
| `space`      | all points, numbered                                                              |
| `limits`     | constraints, and which of them can be kept                                        |
| `traced`     | each model with each pattern, traced once, as bytes                               |
| `point`      | what is evaluated for a point, and its key                                        |
| `optimizers` | which points are next                                                             |
| `bound`      | what a point takes at least                                                       |
| `prune`      | points that need no simulation                                                    |
| `evaluate`   | what a point takes                                                                |
| `pool`       | processes that evaluate; `cluster`: those of Dask                                 |
| `store`      | everything that is known, safe from kills                                         |
| `run`        | the sweep itself                                                                  |
| `results`    | what is known of all points, through `reader`; `ask`: the same in SQL             |
| `pareto`     | which points are best, and how good they are together                             |
| `front`      | the best points as a table; `summary`: with counts and random search beside       |
| `rerun`      | a point simulated again                                                           |
| `page`       | a sweep as one HTML file; `figures`: as pictures; `write`: both, onto the disk    |
"""
