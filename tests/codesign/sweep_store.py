"""A store of made-up results, as a sweep leaves it, for tests of what reads it."""

from pathlib import Path
from typing import Any

import yaml

LEVELS: dict[str, list[Any]] = {
    "weights": ["dense", "2:4", "unstructured:0.7", "unstructured:0.9"],
    "dataflow": ["auto", "ws", "os"],
    "array.rows": [8, 16, 32, 64],
    "array.cols": [8, 16, 32, 64],
    "memory.sram.weight_bytes": [16384, 32768, 65536, 131072, 262144],
    "memory.dram.bytes_per_cycle": [4, 8, 16, 32],
    "clock_hz": [5e8, 8e8, 1e9, 1.2e9, 1.5e9, 2e9],
}
OPS = ["conv1", *(f"{part}{i}" for i in range(1, 14) for part in ("depthwise", "pointwise")), "classifier"]


def study(name: str = "sparse-mobilenet", **changes: object) -> dict[str, object]:
    """Return a study whose results the store could hold."""
    return {
        "name": name,
        "description": "A sparse MobileNet over arrays, buffers and patterns.",
        "seed": 0,
        "models": ["mobilenet_v1@0.5-128"],
        "weights": LEVELS["weights"],
        "accelerators": [
            {
                "base": "systolic-32x32",
                "name": "mid",
                "set": {key: values for key, values in LEVELS.items() if "." in key or key == "clock_hz"},
                "dataflow": LEVELS["dataflow"],
            }
        ],
        "objectives": ["cycles", "energy_pj"],
        "constraints": {"pes": {"max": 4096}},
        **changes,
    }


def write_store(directory: Path, count: int = 300, *, description: dict[str, object] | None = None) -> Path:
    """Write a store of ``count`` points: of every 17 one pruned, of every 23 one infeasible, one failed."""
    import duckdb

    directory.mkdir(parents=True, exist_ok=True)
    values = {key: f"(({_list(levels)})[1 + (n // {_stride(key)}) % {len(levels)}])" for key, levels in LEVELS.items()}
    # A step that shares no factor with the size of the grid visits each of its points once.
    place = f"(i * 7919 % {_stride('')})"
    density = f"([1.0, 0.5, 0.3, 0.1])[1 + n % {len(LEVELS['weights'])}]"
    with duckdb.connect(str(directory / "results.duckdb")) as store:
        store.execute(f"""
            CREATE TABLE about(name VARCHAR PRIMARY KEY, value VARCHAR);
            CREATE TABLE points AS
                WITH numbered AS (SELECT i, {place} AS n FROM range({count}) AS r(i))
                SELECT n AS number, md5(n::VARCHAR) AS key, 'grid' AS chosen_by,
                CASE WHEN i % 17 = 16 THEN 'pruned' WHEN i % 23 = 22 THEN 'infeasible' WHEN i = 7 THEN 'failed'
                ELSE 'done' END AS status, 'mobilenet_v1@0.5-128' AS model, {values["weights"]} AS weights,
                'mid' AS target, {", ".join(f'{text} AS "{key}"' for key, text in values.items() if key != "weights")},
                {density} AS density FROM numbered;
            CREATE TABLE cost AS SELECT *, "array.rows" * "array.cols" AS size,
                3e8 * (0.3 + 0.7 * density) / (size ** 0.9) * CASE dataflow WHEN 'auto' THEN 1 WHEN 'ws' THEN 1.05
                ELSE 1.2 END + 9e7 / "memory.dram.bytes_per_cycle" / ("memory.sram.weight_bytes" / 16384) ** 0.4 AS took
                FROM points;
            CREATE TABLE evaluated AS SELECT key, status, CASE status WHEN 'failed' THEN 'out of memory'
                WHEN 'infeasible' THEN 'conv1 does not fit mid' END AS reason, took::BIGINT AS cycles,
                took / clock_hz AS time_s, 4e8 * density + took * (2 + size * 0.12 * (clock_hz / 1e9) ** 1.5)
                + "memory.sram.weight_bytes" * 900 + 6e8 AS energy_pj, size::BIGINT AS pes,
                ("memory.sram.weight_bytes" * 3)::BIGINT AS sram_bytes, (took * 2)::BIGINT AS dram_bytes,
                least(0.98, 3e8 / size / took) AS utilization, 295000000::BIGINT AS macs,
                (295000000 * density)::BIGINT AS effectual_macs, NULL::DOUBLE AS accuracy,
                [(took * (1 + (hash(j) % 9)) / {len(OPS) * 5})::BIGINT FOR j IN range({len(OPS)})] AS layer_cycles,
                [took * 40.0 * (1 + (hash(j + 99) % 9)) / {len(OPS)} FOR j IN range({len(OPS)})] AS layer_energy_pj
                FROM cost WHERE status != 'pruned';
            UPDATE evaluated SET cycles = NULL, time_s = NULL, energy_pj = NULL, pes = NULL, layer_cycles = NULL,
                layer_energy_pj = NULL WHERE status != 'done';
            DROP TABLE cost;
            ALTER TABLE points DROP density;
            CREATE TABLE ops(model VARCHAR, target VARCHAR, names VARCHAR[]);
            CREATE VIEW results AS SELECT points.*, evaluated.* EXCLUDE (key, status)
                FROM points LEFT JOIN evaluated USING (key);
        """)
        store.execute("INSERT INTO ops VALUES ('mobilenet_v1@0.5-128', 'mid', ?)", [OPS])
        about = {"format": "1", "code_version": "0.1.0", "optimizer": "grid", "budget": str(count)}
        text = yaml.safe_dump(description or study(), sort_keys=False)
        store.executemany("INSERT INTO about VALUES (?, ?)", [*about.items(), ("study", text)])
    return directory


def _list(levels: list[object]) -> str:
    return (
        "["
        + ", ".join(
            f"'{level}'" if isinstance(level, str) else repr(level) if isinstance(level, int) else f"{level:e}"
            for level in levels
        )
        + "]"
    )


def _stride(key: str) -> int:
    """Return how many points share a level of a parameter before the next; of all parameters, the size of the grid."""
    stride = 1
    for name, levels in LEVELS.items():
        if name == key:
            break
        stride *= len(levels)
    return stride
