"""Hash more images than one process can: by workers of dask.distributed, one Parquet file for each shard."""
