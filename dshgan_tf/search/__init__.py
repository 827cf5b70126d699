"""Search of packed codes, on NumPy and FAISS alone."""
