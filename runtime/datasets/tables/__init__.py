"""Tables of images: CSV in any dialect, and Parquet."""
